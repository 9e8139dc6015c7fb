#include <meander/envs/robomimic.h>

#include <mujoco/mujoco.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include <meander/kernels/error.h>

namespace meander {
namespace {

constexpr double pi = std::numbers::pi;
// The observation is of the last but one time step: the package's clock of sensors falls there (utils/observables.py).
constexpr int sampled_after = 23;
constexpr std::array<double, 6> displacement_of_one = {0.05, 0.05, 0.05, 0.5, 0.5, 0.5};  // m, rad
constexpr double finger_speed = 0.2;                                                       // of -1 to 1, a step
constexpr std::array<double, Robomimic::arm_joints> home = {0, pi / 16, 0, -pi / 2 - pi / 3, 0, pi - 0.2, pi / 4};
constexpr double home_deviation = 0.02;
constexpr double finger_start = 0.020833;
constexpr double cube_density = 1000;  // kg/m^3
constexpr double bin_length = 0.39, bin_width = 0.49, bin_edge = 0.05;

struct Named { const char* name; int observations, limit; };
constexpr Named tasks[] = {{"robomimic-lift", 19, 300}, {"robomimic-can", 23, 300}, {"robomimic-square", 23, 400}};

RobomimicTask parse_or_throw(const std::string& name) {
  if (const auto task = robomimic_task(name)) return *task;
  throw Error("no robomimic task '" + name + "'");
}

EnvironmentInfo describe(RobomimicTask task) {
  const Named& named = tasks[static_cast<int>(task)];
  EnvironmentInfo info;
  info.name = named.name;
  info.observations = named.observations;
  info.actions = Robomimic::actions;
  info.action_low.assign(info.actions, -1);
  info.action_high.assign(info.actions, 1);
  info.time_limit = named.limit;
  info.source = "robosuite 1.5.1";
  info.v_min = -105;  // a return discounted by .99 lies in [-100, 0]
  info.v_max = 5;
  info.ends_with_success = true;
  return info;
}

// ---- where objects begin (utils/placement_samplers.py) ----------------------------------------------------------------

struct Shape { double radius, below, above; };  // m, about its origin
struct Placed { Shape shape; Robomimic::Start::Place place; };
struct AllPlaced {
  std::array<Placed, 4> objects;
  int count = 0;
  std::span<const Placed> so_far() const { return {objects.data(), static_cast<size_t>(count)}; }
};
struct Area { double x_low, x_high, y_low, y_high, x, y, z; };  // drawn from the intervals, then moved by x, y

// Draws again while the object would touch one that is there.
Robomimic::Start::Place place(Draws& draws, const Shape& shape, const Area& area, AllPlaced& placed) {
  for (int attempt = 0; attempt < 5000; ++attempt) {
    Robomimic::Start::Place here{};
    here.x = draws.uniform(area.x_low, area.x_high) + area.x;
    here.y = draws.uniform(area.y_low, area.y_high) + area.y;
    here.z = area.z - shape.below;
    const bool clear = std::ranges::none_of(placed.so_far(), [&](const Placed& other) {
      const double dx = here.x - other.place.x, dy = here.y - other.place.y;
      return std::sqrt(dx * dx + dy * dy) <= other.shape.radius + shape.radius &&
             here.z - other.place.z <= other.shape.above - shape.below;
    });
    if (!clear) continue;
    here.angle = draws.uniform(0, 2 * pi);
    placed.objects[placed.count++] = {shape, here};
    return here;
  }
  throw Failure("robomimic: no room for all objects");
}

Robomimic::Start::Place place_can(Draws& draws) {
  const Shape milk{0.025, -0.085, 0.075}, bread{0.03, -0.045, 0.03}, cereal{0.04, -0.10, 0.03}, can{0.025, -0.06, 0.04};
  constexpr double half_length = bin_length / 2 - bin_edge, half_width = bin_width / 2 - bin_edge;
  AllPlaced placed;
  Robomimic::Start::Place last{};
  for (const Shape& shape : {milk, bread, cereal, can})
    last = place(draws, shape,
                 {-half_length + shape.radius, half_length - shape.radius, -half_width + shape.radius,
                  half_width - shape.radius, 0.1, -0.25, 0.8},
                 placed);
  for (int i = 0; i < 8; ++i) draws.uniform();  // the marks in the other bin: intervals of one point
  return last;
}

Robomimic::Start::Place place_nut(Draws& draws) {
  const Shape square{0.11, -0.05, 0.01}, round{0.11, -0.05, 0.025};
  constexpr double height = 0.02 + Robomimic::peg_table_height;
  AllPlaced placed;
  const auto found = place(draws, square, {-0.115, -0.11, 0.11, 0.225, 0, 0, height}, placed);
  place(draws, round, {-0.115, -0.11, -0.225, -0.11, 0, 0, height}, placed);  // put away, but drawn
  return found;
}

std::array<double, 4> xyzw(const double* wxyz) { return {wxyz[1], wxyz[2], wxyz[3], wxyz[0]}; }

// R^T x and R^T S of row-major matrices.
std::array<double, 3> transposed_times(const Matrix3& r, const std::array<double, 3>& x) {
  std::array<double, 3> y;
  for (int i = 0; i < 3; ++i) y[i] = r[i] * x[0] + r[3 + i] * x[1] + r[6 + i] * x[2];
  return y;
}
Matrix3 transposed_times(const Matrix3& r, const Matrix3& s) {
  Matrix3 product;
  for (int j = 0; j < 3; ++j) {
    const std::array<double, 3> column = transposed_times(r, std::array<double, 3>{s[j], s[3 + j], s[6 + j]});
    for (int i = 0; i < 3; ++i) product[3 * i + j] = column[i];
  }
  return product;
}
template <size_t n>
std::array<double, n> through_floats(std::array<double, n> x) {
  for (double& one : x) one = static_cast<double>(static_cast<float>(one));
  return x;
}

// The object's pose (position, x y z w) in the hand's frame, as the package computes it: through float32.
std::array<double, 7> relative_pose(const double* hand_position, const std::array<double, 4>& hand_rotation,
                                    const std::array<double, 7>& object) {
  const Matrix3 R = through_floats(rotation_through_floats(hand_rotation));
  const Matrix3 S = through_floats(rotation_through_floats({object[3], object[4], object[5], object[6]}));
  const auto p = through_floats(std::array<double, 3>{hand_position[0], hand_position[1], hand_position[2]});
  const auto s = through_floats(std::array<double, 3>{object[0], object[1], object[2]});
  const std::array<double, 3> back = transposed_times(R, p), there = transposed_times(R, s);
  const std::array<double, 4> rotation = quaternion_through_floats(transposed_times(R, S));
  return {there[0] - back[0], there[1] - back[1], there[2] - back[2],
          rotation[0], rotation[1], rotation[2], rotation[3]};
}

}  // namespace

// ---- an episode's start ------------------------------------------------------------------------------------------------

namespace {

// Lift's cube is of another size in each episode, so each of its environments has a model of its own.
std::shared_ptr<mjModel> own_model(RobomimicTask task, const RobomimicScene& scene) {
  if (task != RobomimicTask::lift) return nullptr;
  mjModel* const copy = mj_copyModel(nullptr, scene.model.get());
  if (!copy) throw Failure("robomimic: no memory for a model");
  return {copy, mj_deleteModel};
}

}  // namespace

void Robomimic::DeleteData::operator()(mjData* data) const { mj_deleteData(data); }

Robomimic::Robomimic(const std::string& name) : Robomimic(parse_or_throw(name)) {}

Robomimic::Robomimic(RobomimicTask task)
    : Robomimic(task, robomimic_scene(task), own_model(task, robomimic_scene(task))) {}

Robomimic::Robomimic(RobomimicTask task, const RobomimicScene& scene, std::shared_ptr<mjModel> own)
    : MujocoEnvironment(describe(task), own ? SharedModel(own) : scene.model, substeps),
      task_(task),
      scene_(scene),
      own_model_(own.get()),
      scratch_(own ? mj_makeData(own.get()) : nullptr),
      controller_(model(), "gripper0_right_grip_site") {
  memory_.posture = home;
  if (own) std::copy_n(model().geom_size + 3 * scene.cube_geom, 3, memory_.cube.begin());
}

Robomimic::Start Robomimic::draw(Draws& draws) const {
  Start start;
  if (task_ == RobomimicTask::lift)
    for (double& half : start.cube) half = draws.uniform(0.020, 0.022);
  for (int i = 0; i < arm_joints; ++i) start.posture[i] = home[i] + draws.normal() * home_deviation;
  switch (task_) {
    case RobomimicTask::lift:
      start.object.x = draws.uniform(-0.03, 0.03);
      start.object.y = draws.uniform(-0.03, 0.03);
      start.object.z = 0.01 + table_height + start.cube[2];
      start.object.angle = draws.uniform(0, 2 * pi);
      break;
    case RobomimicTask::can: start.object = place_can(draws); break;
    case RobomimicTask::square: start.object = place_nut(draws); break;
  }
  return start;
}

void Robomimic::randomise(Stream& random) {
  DrawsOf draws(random);
  start(draw(draws));
}

std::vector<double> Robomimic::reset_as_package(MersenneTwister& generator) {
  DrawsOf draws(generator);
  clear();
  start(draw(draws));
  std::vector<double> before = integration_state();
  finish_reset();
  return before;
}

// The package computes everything derived of a state four times before it has set all of it. Of that the solver's warm
// start remains, and the mass matrix of the arm at its posture with closed fingers, from which the controller's first
// torques come.
void Robomimic::start(const Start& start) {
  mjData& d = data();
  memory_ = {};
  memory_.cube = start.cube;
  memory_.posture = start.posture;
  if (own_model_) resize_cube();
  mj_forward(&model(), &d);
  std::copy(start.posture.begin(), start.posture.end(), d.qpos);
  for (int i = 0; i < 3; ++i) mj_forward(&model(), &d);
  memory_.first_mass = controller_.mass_matrix(d);

  d.qpos[arm_joints] = finger_start;
  d.qpos[arm_joints + 1] = -finger_start;
  const Start::Place& at = start.object;
  const std::array<double, 7> placed = {at.x, at.y, at.z, std::cos(at.angle / 2), 0, 0, std::sin(at.angle / 2)};
  const std::array<double, 7> away = {10, 10, 10, 1, 0, 0, 0};
  for (int object = 0; first_object + 7 * object < model().nq; ++object) {
    const bool wanted = model().jnt_bodyid[first_object + object] == scene_.object_body;
    std::copy_n((wanted ? placed : away).begin(), 7, d.qpos + first_object + 7 * object);
  }
}

// What compiling the model with this cube would set, to the bit.
void Robomimic::resize_cube() {
  mjModel& m = *own_model_;
  const auto [a, b, c] = memory_.cube;
  const int geom = scene_.cube_geom, body = scene_.object_body;
  const double mass = cube_density * (8 * a * b * c);
  for (double* half : {m.geom_size + 3 * geom, m.geom_aabb + 6 * geom + 3, m.bvh_aabb + 6 * m.body_bvhadr[body] + 3})
    std::copy_n(memory_.cube.begin(), 3, half);
  m.geom_rbound[geom] = std::sqrt(a * a + b * b + c * c);
  m.body_mass[body] = mass;
  const double inertia[] = {mass * (b * b + c * c) / 3, mass * (a * a + c * c) / 3, mass * (a * a + b * b) / 3};
  std::copy_n(inertia, 3, m.body_inertia + 3 * body);
  mj_setConst(&m, scratch_.get());
}

void Robomimic::set_cube_half_size(std::span<const double> half_size) {
  if (!own_model_ || half_size.size() != 3 ||
      !std::all_of(half_size.begin(), half_size.end(), [](double half) { return half > 0 && half < 1; }))
    throw Error(info().name + ": expected three half sizes of lift's cube between 0 and 1 m");
  std::copy(half_size.begin(), half_size.end(), memory_.cube.begin());
  resize_cube();
}

// qc's wrapper has the sensors read twice, so that the first observation's relative pose is of the object's present one.
void Robomimic::forward() {
  MujocoEnvironment::forward();
  sample();
  sample();
}

void Robomimic::prepare_loaded() {
  if (own_model_) set_cube_half_size(memory_.cube);
}

std::vector<std::span<double>> Robomimic::derived() const {
  return {memory_.cube, memory_.posture, memory_.first_mass, memory_.fingers, memory_.seen};
}

void Robomimic::put(std::span<const double> recorded, bool first) {
  const auto size = static_cast<size_t>(1 + model().nq + model().nv);
  if (recorded.size() != size)
    throw Error(message(info().name, ": expected a recorded state of ", size, " numbers, got ", recorded.size()));
  const auto cube = memory_.cube;
  if (first) {
    clear();
    memory_ = {};
    memory_.cube = cube;
    std::copy_n(recorded.begin() + 1, arm_joints, memory_.posture.begin());  // a reset makes them one
  }
  mjData& d = data();
  d.time = recorded[0];
  std::copy_n(recorded.begin() + 1, model().nq, d.qpos);
  std::copy_n(recorded.begin() + 1 + model().nq, model().nv, d.qvel);
  if (first) {
    finish_reset();
    memory_.first_mass = controller_.mass_matrix(d);
  } else {
    MujocoEnvironment::forward();
    sample();
    finish_step();
  }
}

// ---- a step ------------------------------------------------------------------------------------------------------------

Step Robomimic::step(std::span<const double> action) {
  check_action(action);
  return advance(action, {}, {});
}

Step Robomimic::replay(std::span<const double> action, std::span<const double> torques, std::span<Substep> own) {
  check_action(action);
  if (torques.size() != substeps * arm_joints || own.size() != substeps)
    throw Error(message(info().name, ": expected ", substeps, " rows of ", arm_joints, " torques"));
  return advance(action, torques, own);
}

// 1 closes the fingers, -1 opens them; where they are asked to be moves by so much a step.
double Robomimic::control_finger(int finger) const {
  const double* const range = model().actuator_ctrlrange + 2 * (arm_joints + finger);
  return (range[1] + range[0]) / 2 + (range[1] - range[0]) / 2 * memory_.fingers[finger];
}

Step Robomimic::advance(std::span<const double> action, std::span<const double> torques, std::span<Substep> own) {
  mjData& d = data();
  std::array<double, 6> displacement;
  for (int i = 0; i < 6; ++i) displacement[i] = std::clamp(action[i], -1.0, 1.0) * displacement_of_one[i];
  const double closing = finger_speed * ((action[6] > 0) - (action[6] < 0));
  memory_.fingers[0] = std::clamp(memory_.fingers[0] - closing, -1.0, 1.0);
  memory_.fingers[1] = std::clamp(memory_.fingers[1] + closing, -1.0, 1.0);

  for (int k = 0; k < substeps; ++k) {
    const bool first = steps_taken() == 0 && k == 0;
    // The package calls mj_forward twice before each mj_step, but for the first of an episode. The second moves nothing
    // but the solver's warm start, which is the constraint stage run twice.
    mj_step1(&model(), &d);
    mj_fwdActuation(&model(), &d);
    mj_fwdAcceleration(&model(), &d);
    mj_fwdConstraint(&model(), &d);
    if (!first) mj_fwdConstraint(&model(), &d);

    if (k == 0) controller_.set_goal(d, displacement);
    const auto arm = controller_.torques(d, first ? memory_.first_mass : controller_.mass_matrix(d), memory_.posture);
    std::copy(arm.begin(), arm.end(), d.ctrl);
    for (int finger = 0; finger < 2; ++finger) d.ctrl[arm_joints + finger] = control_finger(finger);
    if (!own.empty()) {
      std::copy_n(d.ctrl, own[k].controls.size(), own[k].controls.begin());
      own[k].condition = controller_.condition();
      std::copy_n(torques.begin() + k * arm_joints, arm_joints, d.ctrl);
    }
    mj_step2(&model(), &d);
    if (k == sampled_after) sample();
  }
  const bool at_limit = finish_step();
  return {.reward = success() ? 0.0 : -1.0, .terminated = success(), .truncated = at_limit && !success()};
}

// ---- what is seen ------------------------------------------------------------------------------------------------------

// Poses are those of the present time step's beginning, where MuJoCo leaves them; the fingers' positions are of its end.
void Robomimic::sample() {
  const mjData& d = data();
  ObservationWriter out(sampled_);
  const double* const hand = d.site_xpos + 3 * scene_.grip_site;
  const std::array<double, 4> hand_rotation = xyzw(d.xquat + 4 * scene_.hand_body);
  const double* const object = d.xpos + 3 * scene_.object_body;
  const std::array<double, 4> object_rotation = xyzw(d.xquat + 4 * scene_.object_body);
  out.add({hand, 3});
  out.add(hand_rotation);
  out.add({d.qpos + arm_joints, 2});
  // The package reads this sensor before the object's own, so it pairs the hand with where the object was seen last.
  if (task_ != RobomimicTask::lift) out.add(relative_pose(hand, hand_rotation, memory_.seen));
  out.add({object, 3});
  out.add(object_rotation);
  if (task_ == RobomimicTask::lift)
    for (int i = 0; i < 3; ++i) out.add(object[i] - hand[i]);
  std::copy_n(object, 3, memory_.seen.begin());
  std::copy(object_rotation.begin(), object_rotation.end(), memory_.seen.begin() + 3);
}

void Robomimic::observe(ObservationWriter& out) const {
  out.add({sampled_.data(), static_cast<size_t>(info().observations)});
}

double Robomimic::measure() const { return steps_taken() > 0 && done(); }

// By positions of the last time step's beginning.
bool Robomimic::done() const {
  const double *const object = data().xpos + 3 * scene_.object_body, *const hand = data().site_xpos + 3 * scene_.grip_site;
  const double x = object[0], y = object[1], z = object[2];
  if (task_ == RobomimicTask::lift) return z > table_height + 0.04;
  double squares = 0;
  for (int i = 0; i < 3; ++i) squares += (hand[i] - object[i]) * (hand[i] - object[i]);
  const bool let_go = 1 - std::tanh(10 * std::sqrt(squares)) < 0.6;  // 4.2 cm
  if (task_ == RobomimicTask::can)
    return let_go && x > 0.1 && x < 0.1 + bin_length / 2 && y > 0.28 && y < 0.28 + bin_width / 2 && z > 0.8 &&
           z < 0.8 + 0.1;
  return let_go && std::abs(x - peg[0]) < 0.03 && std::abs(y - peg[1]) < 0.03 && z < peg_table_height + 0.05;
}

// ---- names -------------------------------------------------------------------------------------------------------------

SharedModel Robomimic::drawn_model() const { return robomimic_drawn_model(task_); }

std::optional<RobomimicTask> robomimic_task(const std::string& name) {
  for (const auto task : {RobomimicTask::lift, RobomimicTask::can, RobomimicTask::square})
    if (name == tasks[static_cast<int>(task)].name) return task;
  return {};
}

std::optional<EnvironmentInfo> robomimic_info(const std::string& name) {
  if (const auto task = robomimic_task(name)) return describe(*task);
  return {};
}

void add_robomimic(Registry& registry) {
  for (const Named& task : tasks) registry[task.name] = make<Robomimic>;
}

}  // namespace meander
