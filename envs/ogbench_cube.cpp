#include <meander/envs/ogbench_cube.h>

#include <mujoco/mujoco.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include <meander/kernels/error.h>
#include <meander/envs/cube_scene.h>

namespace meander {

struct CubeName {
  int cubes;
  int task;   // 0: another one each episode
  bool post;  // success is judged after the step
};

namespace {

constexpr double pi = std::numbers::pi;
constexpr int most_cubes = OgbenchCube::most_cubes, tasks = 5, default_task = 2;
constexpr int time_steps = 25;                  // in one control step
constexpr double closed_angle = 0.8;            // rad, of the gripper's driver joint
constexpr double in_place = 0.04;               // m, from the target

using Point = std::array<double, 3>;
constexpr Point workspace_low = {0.25, -0.35, 0.02}, workspace_high = {0.6, 0.35, 0.35};  // of the pinch
constexpr ArmController::Angles home = {-pi / 2, -pi / 2, pi / 2, -pi / 2, -pi / 2, 0};
constexpr std::array<double, 4> tool_down = {0, 1, 0, 0};  // half a turn about x
constexpr Point centre = {0.425, 0, 0};         // of observed positions
constexpr double position_scale = 10, opening_scale = 3, contact_scale = 50;

// ---- the tasks -----------------------------------------------------------------------------------------------------

struct Task { std::array<Point, most_cubes> start, goal; };
// Heights of a cube's centre, also on one and two others.
constexpr double table = OgbenchCube::cube_height, second = table + OgbenchCube::cube_size, third = 0.1;

constexpr Task single_tasks[tasks] = {
    {{{{.425, .1, table}}}, {{{.425, -.1, table}}}},
    {{{{.35, 0, table}}}, {{{.5, 0, table}}}},
    {{{{.5, 0, table}}}, {{{.35, 0, table}}}},
    {{{{.35, -.2, table}}}, {{{.5, .2, table}}}},
    {{{{.35, .2, table}}}, {{{.5, -.2, table}}}},
};
constexpr Task double_tasks[tasks] = {
    {{{{.425, 0, table}, {.425, -.1, table}}}, {{{.425, 0, table}, {.425, .1, table}}}},
    {{{{.35, -.1, table}, {.5, -.1, table}}}, {{{.35, .1, table}, {.5, .1, table}}}},
    {{{{.35, 0, table}, {.5, 0, table}}}, {{{.425, -.2, table}, {.425, .2, table}}}},
    {{{{.425, -.1, table}, {.425, .1, table}}}, {{{.425, .1, table}, {.425, -.1, table}}}},
    {{{{.425, -.2, table}, {.425, .2, table}}}, {{{.425, 0, table}, {.425, 0, second}}}},
};
constexpr Task triple_tasks[tasks] = {
    {{{{.35, -.1, table}, {.35, .1, table}, {.5, -.1, table}}},
     {{{.35, -.1, table}, {.35, .1, table}, {.5, .1, table}}}},
    {{{{.35, -.2, table}, {.35, 0, table}, {.35, .2, table}}},
     {{{.5, 0, table}, {.5, .2, table}, {.5, -.2, table}}}},
    {{{{.425, .2, table}, {.425, .2, second}, {.425, .2, third}}},
     {{{.35, -.1, table}, {.5, -.2, table}, {.5, 0, table}}}},
    {{{{.35, 0, table}, {.5, -.1, table}, {.5, .1, table}}},
     {{{.5, -.1, table}, {.5, .1, table}, {.35, 0, table}}}},
    {{{{.35, -.1, table}, {.5, -.2, table}, {.5, 0, table}}},
     {{{.425, .2, table}, {.425, .2, second}, {.425, .2, third}}}},
};

const Task& task_of(int cubes, int number) {
  const Task* const of_size[] = {single_tasks, double_tasks, triple_tasks};
  return of_size[cubes - 1][number - 1];
}

constexpr const char* sizes[] = {"single", "double", "triple"};

std::optional<CubeName> parse(std::string_view name) {
  const auto take = [&](std::string_view part) {
    const bool there = name.starts_with(part);
    if (there) name.remove_prefix(part.size());
    return there;
  };
  CubeName named{1, 0, true};
  if (!take("cube-")) return {};
  while (!take(sizes[named.cubes - 1]))
    if (++named.cubes > OgbenchCube::most_cubes) return {};
  take("-play");
  const bool fixed = take("-singletask");
  if (fixed) named.task = default_task;
  if (fixed && take("-task")) {
    named.task = name.empty() ? 0 : name[0] - '0';
    if (named.task < 1 || named.task > 5) return {};
    name.remove_prefix(1);
  }
  if (!take("-v0")) return {};
  if (fixed) named.post = take("-post");  // without a fixed task it is always so
  if (!name.empty()) return {};
  return named;
}

CubeName parse_or_throw(const std::string& name) {
  if (const auto named = parse(name)) return *named;
  throw Error("no OGBench cube task '" + name + "'");
}

EnvironmentInfo describe(const std::string& name, const CubeName& named) {
  EnvironmentInfo info;
  info.name = name;
  info.observations = 19 + 9 * named.cubes;
  info.actions = OgbenchCube::actions;
  info.action_low.assign(info.actions, -1);
  info.action_high.assign(info.actions, 1);
  const int limits[] = {200, 500, 1000};
  info.time_limit = limits[named.cubes - 1];
  info.source = "OGBench 1.2.2";
  // With a discount of .99 a return lies in [-100 n, 0], or in [0, 1] without a fixed task; the room beyond is for the
  // entropy bonus and for the projection at the ends.
  info.v_min = named.task ? -105.0 * named.cubes : -0.1;
  info.v_max = named.task ? 5.0 * named.cubes : 1.1;
  info.ends_with_success = true;
  return info;
}

// A cube's centre and its target.
template <class Number>
bool is_in_place(const Number* centre, const double* target) {
  double squares = 0;
  for (int k = 0; k < 3; ++k) squares += (centre[k] - target[k]) * (centre[k] - target[k]);
  return std::sqrt(squares) <= in_place;
}

}  // namespace

// ---- an episode's start ---------------------------------------------------------------------------------------------

OgbenchCube::OgbenchCube(const std::string& name)
    : OgbenchCube(name, parse_or_throw(name), scene_with(parse_or_throw(name).cubes)) {}

OgbenchCube::OgbenchCube(const std::string& name, const CubeName& parsed, const CubeScene& scene)
    : MujocoEnvironment(describe(name, parsed), scene.model, time_steps),
      scene_(scene),
      arm_(scene.arm, "attachment_site"),
      cubes_(parsed.cubes),
      task_(parsed.task),
      post_(parsed.post) {}

// x, y, z, yaw
std::array<double, 4> draw_pinch(Stream& random) {
  std::array<double, 4> pinch;
  for (int i = 0; i < 3; ++i) pinch[i] = random.uniform(OgbenchCube::gripper_low[i], OgbenchCube::gripper_high[i]);
  pinch[3] = random.uniform(-pi, pi);
  return pinch;
}

OgbenchCube::Draws OgbenchCube::draw(Stream& random) const {
  Draws d;
  d.task = task_ ? task_ : 1 + static_cast<int>(tasks * random.uniform());
  for (int i = 0; i < most_cubes; ++i) d.order[i] = i;
  if (!task_)
    for (int i = cubes_ - 1; i > 0; --i) std::swap(d.order[i], d.order[static_cast<int>((i + 1) * random.uniform())]);
  for (auto* pinch : {&d.goal_pinch, &d.pinch}) *pinch = draw_pinch(random);
  for (int i = 0; i < cubes_; ++i) {
    d.cubes[i].x = random.uniform(-0.01, 0.01);
    d.cubes[i].y = random.uniform(-0.01, 0.01);
    d.cubes[i].yaw = random.uniform(0, 2 * pi);
  }
  for (auto& action : d.goal_actions)  // the package draws them elsewhere, unseeded: here they come last
    for (double& x : action) x = random.uniform(-1, 1);
  return d;
}

void OgbenchCube::randomise(Stream& random) { place(draw(random)); }

void OgbenchCube::start_with(const Draws& draws) {
  mj_resetData(&model(), &data());
  place(draws);
  start_from(integration_state());
}

// The package first shows the goal: everything at its target, two steps with random actions. Of that the controls, the
// time, the contact force (observed at the start) and the solver's warm start (felt in the first steps) remain.
void OgbenchCube::place(const Draws& draws) {
  const Task& task = task_of(cubes_, draws.task);
  mjData& d = data();
  mj_forward(&model(), &d);
  std::copy(home.begin(), home.end(), d.qpos);
  std::array<double, first_cube + 7 * most_cubes> qpos;
  std::array<double, first_cube + 6 * most_cubes> qvel;
  std::copy_n(d.qpos, model().nq, qpos.begin());
  std::copy_n(d.qvel, model().nv, qvel.begin());

  place_arm(draws.goal_pinch);
  for (int i = 0; i < cubes_; ++i) {
    const Point& goal = task.goal[draws.order[i]];
    const double upright[4] = {1, 0, 0, 0};
    place_cube(i, goal, 0);
    std::copy(goal.begin(), goal.end(), d.mocap_pos + 3 * i);
    std::copy_n(upright, 4, d.mocap_quat + 4 * i);
  }
  mj_forward(&model(), &d);
  for (const auto& action : draws.goal_actions) advance(control(action));

  std::copy_n(qpos.begin(), model().nq, d.qpos);
  std::copy_n(qvel.begin(), model().nv, d.qvel);
  place_arm(draws.pinch);
  for (int i = 0; i < cubes_; ++i) {
    Point start = task.start[draws.order[i]];
    start[0] += draws.cubes[i].x;
    start[1] += draws.cubes[i].y;
    place_cube(i, start, draws.cubes[i].yaw);
  }
  mj_forward(&model(), &d);  // the reset calls it once more: the warm start moves each time
}

void OgbenchCube::scatter(Stream& random) {
  mjData& d = data();
  mj_resetData(&model(), &d);
  mj_forward(&model(), &d);
  place_arm(draw_pinch(random));
  for (int i = 0; i < cubes_; ++i) {
    Point position = {0, 0, cube_height};
    for (int k = 0; k < 2; ++k) position[k] = random.uniform(cube_low[k], cube_high[k]);
    place_cube(i, position, random.uniform(0, 2 * pi));
    const Point below_the_table = {0, 0, -0.3};
    std::copy(below_the_table.begin(), below_the_table.end(), d.mocap_pos + 3 * i);
  }
  mj_forward(&model(), &d);
  start_from(integration_state());
}

void OgbenchCube::place_arm(const std::array<double, 4>& pinch) {
  const Pose goal{product(rotation_about_z(pinch[3]), tool_down), {pinch[0], pinch[1], pinch[2]}};
  const ArmController::Angles angles = arm_.solve(compose(goal, scene_.flange_in_pinch), home);
  std::copy(angles.begin(), angles.end(), data().qpos);
  mj_forward(&model(), &data());
}

void OgbenchCube::place_cube(int cube, std::span<const double> position, double yaw) {
  double* const q = data().qpos + first_cube + 7 * cube;
  const std::array<double, 4> rotation = rotation_about_z(yaw);
  std::copy(position.begin(), position.end(), q);
  std::copy(rotation.begin(), rotation.end(), q + 3);
}

// ---- a step ---------------------------------------------------------------------------------------------------------

Step OgbenchCube::step(std::span<const double> action) { return simulate(control(action)); }

OgbenchCube::Controls OgbenchCube::control(std::span<const double> action) {
  check_action(action);
  const mjData& d = data();
  const double yaw = pinch_yaw() + action_scale[3] * action[3];
  Pose goal{product(rotation_about_z(yaw), tool_down), {}};
  for (int i = 0; i < 3; ++i)
    goal.position[i] = std::clamp(d.site_xpos[3 * scene_.pinch + i] + action_scale[i] * action[i], workspace_low[i],
                                  workspace_high[i]);
  ArmController::Angles now;
  std::copy_n(d.qpos, now.size(), now.begin());
  const ArmController::Angles angles = arm_.solve(compose(goal, scene_.flange_in_pinch), now);

  Controls controls;
  std::copy(angles.begin(), angles.end(), controls.begin());
  controls.back() = 255 * std::clamp(opening() + action[4], 0.0, 1.0);
  return controls;
}

Step OgbenchCube::simulate(std::span<const double> controls) {
  if (controls.size() != Controls().size())
    throw Error(message(info().name, ": expected ", Controls().size(), " controls, got ", controls.size()));
  Step result = judge();
  advance(controls);
  result.truncated = finish_step();
  if (post_) {
    const Step after = judge();
    result.reward = after.reward;
    result.terminated = after.terminated;
  }
  return result;
}

void OgbenchCube::advance(std::span<const double> controls) {
  std::copy(controls.begin(), controls.end(), data().ctrl);
  for (int i = 0; i < time_steps; ++i) mj_step(&model(), &data());
  mj_rnePostConstraint(&model(), &data());  // the contact force on the pad
}

Step OgbenchCube::judge() const {
  const bool success = measured() == 1;
  return {.reward = task_ ? placed() - cubes_ : success ? 1.0 : 0.0, .terminated = success, .truncated = false};
}

int OgbenchCube::placed() const {
  int count = 0;
  for (int i = 0; i < cubes_; ++i) count += is_in_place(data().qpos + first_cube + 7 * i, data().mocap_pos + 3 * i);
  return count;
}

// A reset is no success, wherever the cubes lie.
double OgbenchCube::measure() const { return steps_taken() > 0 && placed() == cubes_; }

// ---- the observation ------------------------------------------------------------------------------------------------

double OgbenchCube::pinch_yaw() const { return yaw_of(rotation_of_matrix(data().site_xmat + 9 * scene_.pinch)); }

OgbenchCube::Gripper OgbenchCube::gripper() const {
  Gripper gripper{{}, pinch_yaw(), opening()};
  std::copy_n(data().site_xpos + 3 * scene_.pinch, 3, gripper.position.begin());
  return gripper;
}

Pose OgbenchCube::cube(int index) const {
  const double* const q = data().qpos + first_cube + 7 * index;
  Pose pose;
  std::copy_n(q, 3, pose.position.begin());
  std::copy_n(q + 3, 4, pose.rotation.begin());
  return pose;
}

double OgbenchCube::time() const { return data().time; }

double OgbenchCube::opening() const { return std::clamp(data().qpos[scene_.driver] / closed_angle, 0.0, 1.0); }

void OgbenchCube::observe(ObservationWriter& out) const {
  const mjData& d = data();
  const auto add_position = [&](const double* p) {
    for (int i = 0; i < 3; ++i) out.add((p[i] - centre[i]) * position_scale);
  };
  const auto add_yaw = [&](double yaw) {
    out.add(std::cos(yaw));
    out.add(std::sin(yaw));
  };
  out.add({d.qpos, ArmController::joints});
  out.add({d.qvel, ArmController::joints});
  add_position(d.site_xpos + 3 * scene_.pinch);
  add_yaw(pinch_yaw());
  out.add(opening() * opening_scale);
  double squares = 0;
  for (int i = 0; i < 6; ++i) squares += d.cfrc_ext[6 * scene_.pad + i] * d.cfrc_ext[6 * scene_.pad + i];
  out.add(std::clamp(std::sqrt(squares) / contact_scale, 0.0, 1.0));
  for (int i = 0; i < cubes_; ++i) {
    const double* const q = d.qpos + first_cube + 7 * i;
    add_position(q);
    out.add({q + 3, 4});
    add_yaw(yaw_of({q + 3, 4}));
  }
}

std::vector<std::span<double>> OgbenchCube::derived() const {
  return {{data().site_xpos + 3 * scene_.pinch, 3}, {data().site_xmat + 9 * scene_.pinch, 9}};
}

// ---- names ----------------------------------------------------------------------------------------------------------

std::optional<EnvironmentInfo> ogbench_cube_info(const std::string& name) {
  if (const auto named = parse(name)) return describe(name, *named);
  return {};
}

std::optional<CubeTask> fixed_cube_task(const std::string& name) {
  const auto named = parse(name);
  if (!named || !named->task) return {};
  return CubeTask(named->cubes, named->task);
}

CubeTask::Verdict CubeTask::judge(std::span<const float> positions) const {
  const Task& task = task_of(cubes_, number_);
  int placed = 0;
  for (int i = 0; i < cubes_; ++i)
    placed += is_in_place(positions.data() + OgbenchCube::first_cube + 7 * i, task.goal[i].data());
  return {static_cast<double>(placed - cubes_), placed == cubes_};
}

void add_ogbench_cubes(Registry& registry) {
  for (const std::string size : sizes) {
    registry["cube-" + size + "-v0"] = make<OgbenchCube>;
    registry["cube-" + size + "-play-singletask-v0"] = make<OgbenchCube>;
    for (int task = 1; task <= tasks; ++task)
      registry[message("cube-", size, "-play-singletask-task", task, "-v0")] = make<OgbenchCube>;
  }
}

}  // namespace meander
