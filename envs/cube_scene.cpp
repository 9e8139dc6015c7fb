#include <meander/envs/cube_scene.h>

#include <mujoco/mujoco.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <mutex>
#include <vector>

#include <meander/kernels/error.h>
#include <meander/envs/model_spec.h>
#include <meander/envs/ogbench_cube.h>

namespace meander {
namespace {

// The files lie where the set-up puts them, or where a copy of the program without the repository says.
std::filesystem::path assets() {
  const char* const elsewhere = std::getenv("MEANDER_OGBENCH_ASSETS");
  return elsewhere && *elsewhere ? elsewhere : MEANDER_OGBENCH_ASSETS;
}

Spec read(const std::filesystem::path& file) { return read_spec(file, "ogbench"); }

// Hangs `child` into a new empty body of `parent`. The package makes such a body too; without it the rounding of all
// poses differs, and contacts with it.
mjsBody* attach(mjSpec* owner, mjsBody* parent, mjSpec* child, const char* prefix) {
  mjsBody* const holder = mjs_addBody(parent, nullptr);
  mjs_setString(holder->name, prefix);
  attach_to(owner, mjs_addFrame(holder, nullptr), child->element, prefix);
  return holder;
}

// As the package paints them: red, blue, orange.
constexpr std::array<float, 3> colours[OgbenchCube::most_cubes] = {
    {.96f, .26f, .33f}, {.35f, .55f, .91f}, {1, .69f, .21f}};

void add_cube(mjsBody* world, int index, int cubes, bool target) {
  mjsBody* const body = mjs_addBody(world, nullptr);
  mjs_setString(body->name, message(target ? "object_target_" : "object_", index).c_str());
  body->pos[0] = target ? 0.45 : 0.3;
  body->pos[1] = -0.05 * (cubes - 1) + 2 * 0.05 * index;
  body->pos[2] = OgbenchCube::cube_height;
  body->mocap = target;
  if (!target) mjs_addFreeJoint(body);
  mjsGeom* const box = mjs_addGeom(body, nullptr);
  box->type = mjGEOM_BOX;
  std::fill_n(box->size, 3, 0.02);
  box->density = 1240;
  box->solref[0] = 0.004;
  box->solref[1] = 1;
  box->contype = target ? 0 : 3;
  box->conaffinity = target ? 0 : 1;
  std::copy_n(colours[index].data(), 3, box->rgba);
  box->rgba[3] = target ? 0.2f : 1.0f;
}

std::shared_ptr<const mjModel> compile_scene(int cubes) {
  const std::filesystem::path folder = assets();
  const std::filesystem::path ur5e = folder / "universal_robots_ur5e", robotiq = folder / "robotiq_2f85";
  const Spec gripper = read(robotiq / "2f85.xml"), arm = read(ur5e / "ur5e.xml"),
             world = read(folder / "floor_wall.xml");
  // Relative to the file that was read they would be looked for beside the world's.
  mjs_setString(arm->meshdir, (ur5e / "assets").c_str());
  mjs_setString(gripper->meshdir, (robotiq / "assets").c_str());
  remove_all(arm.get(), mjOBJ_KEY);
  remove_all(arm.get(), mjOBJ_LIGHT);

  mjsBody* const wrist = mjs_findBody(arm.get(), "wrist_3_link");
  mjsElement* const flange = mjs_findElement(arm.get(), mjOBJ_SITE, "attachment_site");
  if (!wrist || !flange) throw Error(message((ur5e / "ur5e.xml").string(), " is not the arm it should be"));
  mjsBody* const hand = attach(arm.get(), wrist, gripper.get(), "robotiq/");
  std::copy_n(mjs_asSite(flange)->pos, 3, hand->pos);
  std::copy_n(mjs_asSite(flange)->quat, 4, hand->quat);
  mjsBody* const ground = mjs_findBody(world.get(), "world");
  attach(world.get(), ground, arm.get(), "ur5e/");
  for (int i = 0; i < cubes; ++i)
    for (const bool target : {false, true}) add_cube(ground, i, cubes, target);

  mjsCamera* const front = mjs_addCamera(ground, nullptr);  // the package's view
  mjs_setString(front->name, "front");
  const double position[] = {1.287, 0, 0.509}, axes[] = {0, 1, 0, -0.342, 0, 0.94};  // right and up
  std::copy_n(position, 3, front->pos);
  front->alt.type = mjORIENTATION_XYAXES;
  std::copy_n(axes, 6, front->alt.xyaxes);

  world->option.integrator = mjINT_IMPLICITFAST;
  world->option.cone = mjCONE_ELLIPTIC;
  world->option.impratio = 10;
  world->option.timestep = 0.002;
  world->compiler.autolimits = 1;
  return compile_spec(world.get(), folder, [](mjModel& model) {
    const double stiffness[ArmController::joints] = {4500, 4500, 4500, 2000, 2000, 500};
    for (int i = 0; i < ArmController::joints; ++i) {
      double* const gain = model.actuator_gainprm + mjNGAIN * i;
      gain[0] = stiffness[i];
      gain[2] = -stiffness[i] / 10;  // read by no motor of this kind; the package sets it
      model.actuator_biasprm[mjNBIAS * i + 1] = -stiffness[i];
    }
  });
}

Pose site_pose(const mjData& data, int site) {
  Pose pose{rotation_of_matrix(data.site_xmat + 9 * site), {}};
  std::copy_n(data.site_xpos + 3 * site, 3, pose.position.begin());
  return pose;
}

}  // namespace

std::array<double, 4> rotation_of_matrix(const double* matrix) {
  std::array<double, 4> rotation;
  mju_mat2Quat(rotation.data(), matrix);
  return rotation;
}

CubeScene::CubeScene(int cubes) {
  model = compile_scene(cubes);
  arm = compile_spec(read(assets() / "universal_robots_ur5e" / "ur5e.xml").get(), assets(), nullptr);
  pinch = id_of(*model, mjOBJ_SITE, "ur5e/robotiq/pinch");
  pad = id_of(*model, mjOBJ_BODY, "ur5e/robotiq/right_pad");
  driver = model->jnt_qposadr[id_of(*model, mjOBJ_JOINT, "ur5e/robotiq/right_driver_joint")];
  const std::unique_ptr<mjData, void (*)(mjData*)> data(mj_makeData(model.get()), mj_deleteData);
  mj_forward(model.get(), data.get());
  const int flange = id_of(*model, mjOBJ_SITE, "ur5e/attachment_site");
  flange_in_pinch = compose(inverse(site_pose(*data, pinch)), site_pose(*data, flange));
}

const CubeScene& scene_with(int cubes) {
  static std::mutex mutex;
  static std::map<std::pair<std::filesystem::path, int>, CubeScene> scenes;
  const std::lock_guard lock(mutex);
  prepare_mujoco();
  const std::pair key(assets(), cubes);
  const auto known = scenes.find(key);
  return known != scenes.end() ? known->second : scenes.try_emplace(key, cubes).first->second;
}

bool has_ogbench_assets() { return std::filesystem::exists(assets() / "floor_wall.xml"); }

}  // namespace meander
