#include <mujoco/mujoco.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <numbers>

#include <meander/kernels/error.h>
#include <meander/envs/dm_control.h>
#include <meander/envs/tolerance.h>

namespace meander {
namespace {

void remove(mjSpec* spec, mjtObj type, const char* name) {
  mjsElement* const element = mjs_findElement(spec, type, name);
  if (!element) throw Error(message("dog.xml has no '", name, "' to remove: is it of another version?"));
  if (mjs_delete(element) != 0) throw Failure(message("MuJoCo: ", mjs_getError(spec)));
}

// The tasks take place without the ball, the mark on the floor and the walls around it. The package also sizes the
// floor for the speed, but a plane collides without end wherever it is drawn to, so one model, with the largest, serves
// all tasks.
SharedModel compile_dog(const std::filesystem::path& file) {
  prepare_mujoco();
  char reason[1000] = "";
  const std::unique_ptr<mjSpec, void (*)(mjSpec*)> spec(mj_parseXML(file.c_str(), nullptr, reason, sizeof reason),
                                                        mj_deleteSpec);
  if (!spec) throw Error(message("cannot load model file ", file.string(), ": ", reason));
  mjsBody* const ball = mjs_findBody(spec.get(), "ball");
  if (!ball || mjs_detachBody(spec.get(), ball) != 0)
    throw Error(message("cannot remove the ball from ", file.string(), ": is it of another version?"));
  for (const char* geom : {"target", "wall_px", "wall_nx", "wall_py", "wall_ny"}) remove(spec.get(), mjOBJ_GEOM, geom);
  for (const char* camera : {"ball", "head"}) remove(spec.get(), mjOBJ_CAMERA, camera);
  mjsElement* const floor = mjs_findElement(spec.get(), mjOBJ_GEOM, "floor");
  if (!floor) throw Error(message(file.string(), " has no floor: is it of another version?"));
  std::fill_n(mjs_asGeom(floor)->size, 2, 9 * 15);  // m: half the side, and what the fastest run covers in an episode
  mjModel* const model = mj_compile(spec.get(), nullptr);
  if (!model) throw Error(message("cannot compile ", file.string(), ": ", mjs_getError(spec.get())));
  return {model, [](const mjModel* m) { mj_deleteModel(const_cast<mjModel*>(m)); }};
}

// Compiled once in a process, whatever the number of environments and threads: it takes a second, and 90 MB.
SharedModel dog_model() {
  static const SharedModel model = compile_dog(dm_control_file("dog.xml"));
  return model;
}

// Stand, walk, trot or run on four legs, with a spine, neck, tail and jaw that move as well.
class Dog final : public DmControlEnvironment {
 public:
  explicit Dog(const std::string& name) : DmControlEnvironment(name, dog_model()) {
    speed_ = task() == "walk" ? 1 : task() == "trot" ? 3 : task() == "run" ? 9 : 0;
    clear();
    mj_forward(&model(), &data());
    torso_height_ = 0.9 * height(torso_);  // of the default pose
    pelvis_height_ = 0.9 * height(pelvis_);
    weight_ = 9.81 * model().body_subtreemass[torso_];
    clear();
  }

 private:
  void initialise(Draws& draws) override {
    clear();  // the package resets and computes everything a second time
    forward();
    const double half_yaw = draws.uniform(0, 2 * std::numbers::pi) / 2;
    const double turn[] = {std::cos(half_yaw), 0, 0, std::sin(half_yaw)};
    std::copy_n(turn, 4, data().qpos + 3);
    for (const int i : {0, 1, 5}) data().qvel[i] = 2 * draws.normal();  // over the floor, and about the vertical
    for (int i = 0; i < model().nu; ++i)
      data().act[i] = draws.uniform(model().actuator_ctrlrange[2 * i], model().actuator_ctrlrange[2 * i + 1]);
  }

  void observe(ObservationWriter& out) const override {
    out.add(positions().subspan(7));
    out.add(velocities().subspan(6));
    out.add(height(torso_));
    out.add(height(pelvis_));
    for (const int b : {skull_, torso_, pelvis_}) out.add(vertical(b));
    out.add(velocity());
    for (const auto& sensor : sensors_) out.add(sensor);
    for (const auto& touch : touches_) out.add(touch);
    out.add(activations());
  }

  double reward() const override {
    double standing = tolerance(height(torso_), {.low = torso_height_, .margin = torso_height_}) *
                      tolerance(height(pelvis_), {.low = pelvis_height_, .margin = pelvis_height_});
    const double least = std::cos(std::numbers::pi / 6);  // 30 degrees
    for (const int b : {skull_, torso_, pelvis_})
      standing *=
          tolerance(upright(b), {.low = least, .margin = 1 + least, .falloff = Target::linear, .at_margin = 0});
    double load = 0;
    for (const auto& touch : touches_) load += touch[0];
    standing *= tolerance(load, {.low = weight_, .margin = weight_, .falloff = Target::linear, .at_margin = 0.9});
    if (speed_ == 0) return standing;
    const double moving = tolerance(velocity()[0], {.low = speed_,
                                                    .high = 2 * speed_,
                                                    .margin = std::max(1.0, speed_),
                                                    .falloff = Target::linear,
                                                    .at_margin = 0});
    return standing * (4 * moving + 1) / 5;
  }

  std::array<double, 3> velocity() const { return in_frame(velocity_, rotation(torso_)); }

  const int skull_ = body("skull"), torso_ = body("torso"), pelvis_ = body("pelvis");
  const std::span<const double> velocity_ = sensor("torso_linvel");  // in the world's frame
  const std::array<std::span<const double>, 7> sensors_ = {
      sensor("accelerometer"), sensor("velocimeter"), sensor("gyro"),  sensor("foot_L"),
      sensor("foot_R"),        sensor("hand_L"),      sensor("hand_R")};
  const std::array<std::span<const double>, 4> touches_ = {sensor("palm_L"), sensor("palm_R"), sensor("sole_L"),
                                                           sensor("sole_R")};
  double speed_;                         // 0: stand
  double torso_height_, pelvis_height_;  // that count as standing, m
  double weight_;                        // N
};

}  // namespace

void add_dm_control_dog(Registry& registry) {
  for (const char* name : {"dmc-dog-stand", "dmc-dog-walk", "dmc-dog-trot", "dmc-dog-run"}) registry[name] = make<Dog>;
}

}  // namespace meander
