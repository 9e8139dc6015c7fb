#include <meander/envs/robomimic_scene.h>

#include <mujoco/mujoco.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include <meander/envs/model_spec.h>
#include <meander/envs/robomimic.h>
#include <meander/kernels/error.h>

// robosuite joins XML trees and compiles the text (models/tasks/task.py and what it calls); here the parts are attached
// to each other, which gives the same arrays to the bit.
namespace meander {
namespace {

namespace fs = std::filesystem;

// The files lie where the set-up puts them, or where a copy of the program without the repository says.
fs::path assets() {
  const char* const elsewhere = std::getenv("MEANDER_ROBOSUITE_ASSETS");
  return elsewhere && *elsewhere ? elsewhere : MEANDER_ROBOSUITE_ASSETS;
}
fs::path pictures() {
  const char* const elsewhere = std::getenv("MEANDER_ROBOSUITE_PICTURES");
  return elsewhere && *elsewhere ? elsewhere : MEANDER_ROBOSUITE_PICTURES;
}

using Triple = std::array<double, 3>;

void move(mjsBody* body, const Triple& position) { std::copy(position.begin(), position.end(), body->pos); }

// A world put together of the package's files. The parts live as long, for what is attached must.
class Composition {
 public:
  Composition(fs::path folder, bool drawn) : folder_(std::move(folder)), drawn_(drawn) {}

  mjSpec* part(const char* file) {
    const fs::path path = folder_ / file;
    parts_.push_back(read_spec(path, drawn_ ? "robomimic_pictures" : "robomimic"));
    mjSpec* const spec = parts_.back().get();
    // Relative to the file that is compiled they would be looked for beside the arena's.
    const std::string meshes = fs::absolute(path).parent_path().string();
    mjs_setString(spec->meshdir, meshes.c_str());
    mjs_setString(spec->texturedir, meshes.c_str());
    spec->compiler.degree = 0;
    std::fill_n(spec->compiler.inertiagrouprange, 2, 0);  // only group 0, what touches, has a mass
    remove_all(spec, mjOBJ_SENSOR);
    if (drawn_) remove_what_is_hidden(spec);
    else remove_what_is_only_seen(spec);
    return spec;
  }
  mjsBody* body(mjSpec* part, const char* name) const { return body_of(part, name, folder_); }

  void attach(mjSpec* world, mjsBody* parent, const mjsElement* child, const char* prefix) {
    attach_to(world, mjs_addFrame(parent, nullptr), child, prefix);
  }
  const fs::path& folder() const { return folder_; }

 private:
  // What only touches lies within what is seen, and sites mark places for people.
  static void remove_what_is_hidden(mjSpec* spec) {
    remove_if(spec, mjOBJ_GEOM, [](mjsElement* e) {
      return mjs_asGeom(e)->group == 0 && std::string(mjs_getString(mjs_asGeom(e)->material)).empty();
    });
    remove_all(spec, mjOBJ_SITE);
  }
  // The trajectories are the same to the bit, the model has 3 MB for 70.
  static void remove_what_is_only_seen(mjSpec* spec) {
    remove_if(spec, mjOBJ_GEOM, [](mjsElement* e) { return !mjs_asGeom(e)->contype && !mjs_asGeom(e)->conaffinity; });
    std::set<std::string> used;
    for (mjsElement* e = mjs_firstElement(spec, mjOBJ_GEOM); e; e = mjs_nextElement(spec, e)) {
      used.insert(mjs_getString(mjs_asGeom(e)->meshname));
      mjs_setString(mjs_asGeom(e)->material, "");
    }
    remove_if(spec, mjOBJ_MESH, [&](mjsElement* e) { return !used.contains(mjs_getString(mjs_asMesh(e)->name)); });
    remove_all(spec, mjOBJ_MATERIAL);
    remove_all(spec, mjOBJ_TEXTURE);
  }

  fs::path folder_;
  bool drawn_;
  std::vector<Spec> parts_;
};

constexpr double table_thickness = 0.05;
const char* const arenas[] = {"arenas/table_arena.xml", "arenas/bins_arena.xml", "arenas/pegs_arena.xml"};

mjSpec* add_arena(Composition& all, RobomimicTask task) {
  mjSpec* const world = all.part(arenas[static_cast<int>(task)]);
  world->option.timestep = 0.002;
  world->option.impratio = 20;
  world->option.cone = mjCONE_ELLIPTIC;
  world->option.density = 1.2;
  world->option.viscosity = 2e-5;
  if (task != RobomimicTask::can) {
    const double top = task == RobomimicTask::lift ? Robomimic::table_height : Robomimic::peg_table_height;
    move(all.body(world, "table"), {0, 0, -table_thickness / 2 + top});
    for (mjsElement* e = mjs_firstElement(world, mjOBJ_GEOM); e; e = mjs_nextElement(world, e)) {
      mjsGeom* const geom = mjs_asGeom(e);
      const std::string name = mjs_getString(geom->name);
      const Triple half{0.4, 0.4, table_thickness / 2};
      if (name == "table_collision" || name == "table_visual") std::copy(half.begin(), half.end(), geom->size);
      if (name.starts_with("table_leg")) {  // the package puts them near the corners
        const int leg = name[9] - '1';
        const double length = (top - table_thickness / 2) / 2;
        const Triple corner{leg % 2 ? -0.3 : 0.3, leg / 2 ? -0.3 : 0.3, -length};
        std::copy(corner.begin(), corner.end(), geom->pos);
        geom->size[0] = 0.025;
        geom->size[1] = length;
      }
    }
  }
  for (const char* name : {"left_eef_target", "right_eef_target"}) {  // of other controllers: they fill a state's end
    mjsBody* const target = mjs_addBody(mjs_findBody(world, "world"), nullptr);
    mjs_setString(target->name, name);
    move(target, {0, 0, -1});
    target->mocap = 1;
  }
  return world;
}

void add_arm(Composition& all, mjSpec* world, RobomimicTask task) {
  mjSpec* const arm = all.part("robots/panda/robot.xml");
  for (int i = 0; i < OperationalSpaceController::joints; ++i) {
    mjsElement* const element = mjs_findElement(arm, mjOBJ_JOINT, message("joint", i + 1).c_str());
    if (!element) throw Error(message(all.folder().string(), " has no arm of seven joints"));
    mjsJoint* const joint = mjs_asJoint(element);
    joint->damping = i < 5 ? 0.1 : 0.01;
    joint->frictionloss = 0.1;
    joint->armature = 5.0 / (i + 1);
  }
  const Triple beside_table{-0.16 - 0.8 / 2, 0, 0.912}, beside_bins{-0.5, -0.1, 0.912};
  move(all.body(arm, "base"), task == RobomimicTask::can ? beside_bins : beside_table);
  all.attach(world, mjs_findBody(world, "world"), arm->element, "robot0_");

  mjSpec* const mount = all.part("bases/rethink_mount.xml");
  move(all.body(mount, "base"), {0, 0, 0.01});
  all.attach(world, all.body(world, "robot0_base"), mount->element, "fixed_mount0_");
  all.attach(world, all.body(world, "robot0_right_hand"), all.part("grippers/panda_gripper.xml")->element,
             "gripper0_right_");
}

void add_cube(mjSpec* world) {
  mjsBody* const cube = mjs_addBody(mjs_findBody(world, "world"), nullptr);
  mjs_setString(cube->name, "cube_main");
  mjs_addFreeJoint(cube);
  mjsGeom* const box = mjs_addGeom(cube, nullptr);
  mjs_setString(box->name, "cube_g0");
  box->type = mjGEOM_BOX;
  std::fill_n(box->size, 3, 0.021);
  const float red[] = {0.8f, 0.1f, 0.1f, 1};
  std::copy_n(red, 4, box->rgba);
}

struct Object { const char *name, *file; };

void add_objects(Composition& all, mjSpec* world, const std::vector<Object>& objects) {
  for (const Object& object : objects) {
    mjsBody* const body = all.body(all.part(message("objects/", object.file, ".xml").c_str()), "object");
    mjsJoint* const joint = mjs_addJoint(body, nullptr);
    mjs_setString(joint->name, "joint0");
    joint->type = mjJNT_FREE;
    joint->damping = 0.0005;
    all.attach(world, mjs_findBody(world, "world"), body->element, message(object.name, "_").c_str());
  }
}

SharedModel compile(RobomimicTask task, const fs::path& folder, bool drawn) {
  Composition all(folder, drawn);
  mjSpec* const world = add_arena(all, task);
  add_arm(all, world, task);
  switch (task) {
    case RobomimicTask::lift: add_cube(world); break;
    case RobomimicTask::can:
      for (const char* name : {"Milk", "Bread", "Cereal", "Can"})  // where the package marks places in the other bin
        mjs_setString(mjs_addBody(mjs_findBody(world, "world"), nullptr)->name,
                      message("Visual", name, "_main").c_str());
      add_objects(all, world, {{"Milk", "milk"}, {"Bread", "bread"}, {"Cereal", "cereal"}, {"Can", "can"}});
      break;
    case RobomimicTask::square:
      add_objects(all, world, {{"SquareNut", "square-nut"}, {"RoundNut", "round-nut"}});
      break;
  }
  return compile_spec(world, folder, [](mjModel& model) {
    // The package's bread has no convex hull: MuJoCo's cache of files hands it the mesh of the marker, which is of the
    // same file and for which none was made. With a hull its contacts are found with other last bits.
    for (int i = 0; i < model.nmesh; ++i) {
      const char* const name = mj_id2name(&model, mjOBJ_MESH, i);
      if (name && std::string(name).starts_with("Bread_")) model.mesh_graphadr[i] = -1;
    }
  });
}

const char* const object_bodies[] = {"cube_main", "Can_object", "SquareNut_object"};

}  // namespace

RobomimicScene::RobomimicScene(RobomimicTask task)
    : model(compile(task, assets(), false)),
      grip_site(id_of(*model, mjOBJ_SITE, "gripper0_right_grip_site")),
      hand_body(id_of(*model, mjOBJ_BODY, "robot0_right_hand")),
      object_body(id_of(*model, mjOBJ_BODY, object_bodies[static_cast<int>(task)])),
      cube_geom(task == RobomimicTask::lift ? id_of(*model, mjOBJ_GEOM, "cube_g0") : -1) {}

const RobomimicScene& robomimic_scene(RobomimicTask task) {
  static std::mutex mutex;
  static std::map<std::pair<fs::path, RobomimicTask>, RobomimicScene> scenes;
  const std::lock_guard lock(mutex);
  prepare_mujoco();
  const std::pair key(assets(), task);
  const auto known = scenes.find(key);
  return known != scenes.end() ? known->second : scenes.try_emplace(key, task).first->second;
}

SharedModel robomimic_drawn_model(RobomimicTask task) {
  prepare_mujoco();
  return compile(task, pictures(), true);
}

bool has_robosuite_pictures() { return fs::exists(pictures() / arenas[0]); }
bool has_robosuite_assets() { return fs::exists(assets() / arenas[0]); }

}  // namespace meander
