// What the goldens cannot show of OGBench's cubes: names, both timings of success, resets, bad input. The steps themselves
// are held by tests/app/verify_environment_test.cpp.
#include <meander/envs/ogbench_cube.h>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numbers>
#include <set>
#include <thread>

#include <meander/kernels/error.h>
#include <meander/core/safetensors.h>
#include <meander/envs/environments.h>

using namespace meander;

namespace {

constexpr double pi = std::numbers::pi;

bool can_run() {
  if (!has_ogbench_assets()) MESSAGE("skipped: no files of OGBench (./meander fetch ogbench)");
  return has_ogbench_assets();
}

std::vector<double> copy(std::span<const double> x) { return {x.begin(), x.end()}; }

// The parts of mjSTATE_INTEGRATION at its end.
std::span<const double> goal_of(const std::vector<double>& state, int cubes, int cube) {
  return std::span<const double>(state).last(7 * cubes).subspan(3 * cube, 3);
}
size_t position_of(int cube) { return 1 + OgbenchCube::first_cube + 7 * cube; }

// A started environment whose cubes all lie at their targets.
std::unique_ptr<OgbenchCube> solved(const std::string& name) {
  auto environment = std::make_unique<OgbenchCube>(name);
  Stream random(1, Purpose::test, 0);
  environment->reset(random);
  std::vector<double> state = environment->integration_state();
  for (int i = 0; i < environment->cubes(); ++i) {
    const std::vector<double> goal = copy(goal_of(state, environment->cubes(), i));
    std::copy(goal.begin(), goal.end(), state.begin() + position_of(i));
  }
  environment->start_from(state);
  return environment;
}

const std::vector<double> rest(OgbenchCube::actions, 0.0);

// The Kolmogorov-Smirnov distance that n right samples exceed once in a million.
void check_uniform(std::vector<double> x, double low, double high) {
  std::sort(x.begin(), x.end());
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double expected = std::clamp((x[i] - low) / (high - low), 0.0, 1.0);
    worst = std::max({worst, std::abs(expected - static_cast<double>(i) / x.size()),
                      std::abs(expected - static_cast<double>(i + 1) / x.size())});
  }
  CHECK(worst < std::sqrt(-std::log(5e-7) / (2.0 * x.size())));
}

}  // namespace

// What a task is must be known without its files: `list` prints it and settings depend on it.
TEST_CASE("names and dimensions of the cube tasks") {
  struct Size { const char* name; int observations, limit; };
  for (const Size size : {Size{"single", 28, 200}, {"double", 37, 500}, {"triple", 46, 1000}}) {
    CAPTURE(size.name);
    const std::string cube = std::string("cube-") + size.name;
    for (const std::string task : {"-play-singletask-task1-v0", "-play-singletask-task5-v0", "-play-singletask-v0",
                                   "-singletask-task3-v0", "-play-singletask-task3-v0-post", "-v0", "-play-v0"}) {
      const auto info = ogbench_cube_info(cube + task);
      REQUIRE(info.has_value());
      CHECK(info->name == cube + task);
      CHECK(info->observations == size.observations);
      CHECK(info->actions == 5);
      CHECK(info->time_limit == size.limit);
      CHECK(info->action_low == std::vector<double>(5, -1));
      CHECK(info->action_high == std::vector<double>(5, 1));
      CHECK(info->source == "OGBench 1.2.2");
    }
    // The critic's support holds every return at a discount of .99.
    const int cubes = (size.observations - 19) / 9;
    CHECK(environment_info(cube + "-play-singletask-v0").v_min <= -100 * cubes);
    CHECK(environment_info(cube + "-play-singletask-v0").v_max >= 0);
    CHECK(environment_info(cube + "-v0").v_max >= 1);
  }
  for (const char* name : {"cube-double", "cube-quadruple-v0", "cube-double-play-singletask-task6-v0",
                           "cube-double-v0-post", "cube-double-play-singletask-task2-v1", "Hopper-v4"})
    CHECK_FALSE(ogbench_cube_info(name).has_value());
}

TEST_CASE("missing files are one line with the remedy") {
  setenv("MEANDER_OGBENCH_ASSETS", "/nowhere", 1);
  CHECK_FALSE(has_ogbench_assets());
  std::string text;
  try {
    make_environment("cube-single-v0");
  } catch (const Error& error) {
    text = error.what();
  }
  unsetenv("MEANDER_OGBENCH_ASSETS");
  CHECK(text.find("./meander fetch ogbench") != std::string::npos);
  CHECK(text.find('\n') == std::string::npos);
}

// From ogbench 1.2.0 on reward and end belong to the state before the step, so that success is rewarded by the step
// after it; before, to the state after it. A reset is no success in either.
TEST_CASE("both timings of success") {
  if (!can_run()) return;
  const auto before = solved("cube-double-play-singletask-task2-v0");
  const Step first = before->step(rest), second = before->step(rest);
  CHECK(first.reward == 0);
  CHECK_FALSE(first.terminated);
  CHECK(second.reward == 0);
  CHECK(second.terminated);

  const auto after = solved("cube-double-play-singletask-task2-v0-post");
  const Step only = after->step(rest);
  CHECK(only.reward == 0);
  CHECK(only.terminated);

  const auto any = solved("cube-double-v0");
  const Step reached = any->step(rest);
  CHECK(reached.reward == 1);
  CHECK(reached.terminated);

  OgbenchCube unsolved("cube-triple-play-singletask-task2-v0"), unsolved_any("cube-triple-v0");
  Stream random(2, Purpose::test, 0);
  unsolved.reset(random);
  unsolved_any.reset(random);
  CHECK(unsolved.step(rest).reward == -3);
  CHECK(unsolved_any.step(rest).reward == 0);
}

// The distribution of resets of the package: the pinch uniform above the table, the tool down, each cube within a
// centimetre of the task's place and turned at random, two control steps on the clock.
TEST_CASE("resets of a fixed task") {
  if (!can_run()) return;
  OgbenchCube environment("cube-double-play-singletask-task2-v0");
  Stream random(11, Purpose::test, 0);
  std::vector<std::vector<double>> pinch(3), offset(2), turn(1);
  for (int i = 0; i < 400; ++i) {
    environment.reset(random);
    const auto obs = environment.observation();
    const std::vector<double> state = environment.integration_state();
    for (int k = 0; k < 3; ++k) pinch[k].push_back(obs[12 + k] / 10 + (k == 0 ? 0.425 : 0));
    offset[0].push_back(state[position_of(0)] - 0.35);
    offset[1].push_back(state[position_of(1) + 1] + 0.1);
    turn[0].push_back(std::atan2(obs[27], obs[26]));
    CHECK(state[0] == doctest::Approx(0.1));
    CHECK(state[position_of(0) + 2] == 0.02);
    CHECK(obs[17] == 0);  // the gripper is open
    const auto moving = [](double v) { return v != 0; };
    CHECK(std::count_if(environment.velocities().begin(), environment.velocities().end(), moving) == 0);
  }
  check_uniform(pinch[0], 0.25, 0.6);
  check_uniform(pinch[1], -0.35, 0.35);
  check_uniform(pinch[2], 0.2, 0.35);
  check_uniform(offset[0], -0.01, 0.01);
  check_uniform(offset[1], -0.01, 0.01);
  check_uniform(turn[0], -pi, pi);
}

// The whole procedure of a reset, the pass through the goal included: with the numbers that the package drew for seed 0
// (its generator's, then its action space's) it leaves the package's state, solver's warm start and controls too.
TEST_CASE("a reset from the package's draws gives the package's state") {
  if (!can_run()) return;
  OgbenchCube::Draws draws;
  draws.task = 5;
  draws.order = {0, 1, 2};
  draws.goal_pinch = {0.47293659056250903, -0.16114930036529077, 0.20614602859042921, -3.03774645687452};
  draws.pinch = {0.5346445837200953, 0.2889289040944052, 0.29099536636507695, 1.441969420022903};
  draws.cubes[0] = {0.0008724998293084575, 0.008701448475755364, 5.126159064066656};
  draws.cubes[1] = {-0.00994522999659704, 0.007148085531751386, 0.21102439329246717};
  draws.goal_actions[0] = {0.2739233672618866, -0.46042656898498535, -0.9180529713630676, -0.9669447541236877,
                           0.62654048204422};
  draws.goal_actions[1] = {0.8255111575126648, 0.21327155828475952, 0.4589931070804596, 0.08724997937679291,
                           0.8701448440551758};
  OgbenchCube environment("cube-double-play-singletask-task5-v0");
  environment.start_with(draws);
  const SafetensorsFile golden(MEANDER_TEST_DATA "/ogb-cube-double-task5.safetensors");
  const std::vector<double> state = environment.integration_state();
  const auto expected = golden.values<double>("ep0/reset/state", std::ssize(state));
  for (size_t i = 0; i < state.size(); ++i) {
    CAPTURE(i);
    CHECK(std::abs(state[i] - expected[i]) <= 1e-6 * std::max(1.0, std::abs(expected[i])));
  }
}

// Without a fixed task each of the five is drawn, and the cubes change places.
TEST_CASE("resets of any task") {
  if (!can_run()) return;
  OgbenchCube environment("cube-triple-v0");
  Stream random(12, Purpose::test, 0);
  std::set<std::vector<double>> goals;
  for (int i = 0; i < 300; ++i) {
    environment.reset(random);
    const std::vector<double> state = environment.integration_state();
    std::vector<double> all;
    for (int cube = 0; cube < 3; ++cube)
      for (double x : goal_of(state, 3, cube)) all.push_back(x);
    goals.insert(all);
  }
  CHECK(goals.size() == 5 * 6);
}

// The tool follows the action: five centimetres at most, and it stays in the workspace.
TEST_CASE("the pinch moves by the action, within the workspace") {
  if (!can_run()) return;
  OgbenchCube environment("cube-single-play-singletask-task1-v0");
  Stream random(4, Purpose::test, 0);
  environment.reset(random);
  const auto x = [&] { return environment.observation()[12] / 10 + 0.425; };
  std::vector<double> forward = rest;
  forward[0] = 1;
  const double start = x();
  environment.step(forward);
  const double moved = x() - start;
  CHECK(moved > 0.005);
  CHECK(moved < 0.06);
  for (int i = 0; i < 40; ++i) environment.step(forward);
  CHECK(x() == doctest::Approx(0.6).epsilon(0.02));
}

// Training and evaluation make their environments on threads of their own; the model is compiled once.
TEST_CASE("environments made at once on two threads are the same") {
  if (!can_run()) return;
  std::vector<double> states[2];
  std::thread threads[2];
  for (int i : {0, 1})
    threads[i] = std::thread([&states, i] {
      OgbenchCube environment("cube-double-play-singletask-v0");
      Stream random(5, Purpose::test, 0);
      environment.reset(random);
      for (int step = 0; step < 5; ++step) environment.step(std::vector<double>(5, 0.5));
      states[i] = environment.save();
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(states[0] == states[1]);
}

// Protects what play data are worth to a task: OGBench's relabelling at the edge of what counts as in place, and the
// same verdict as the environment's own. The numbers are those of relabel_dataset in ogbench 1.2.2 for these positions.
TEST_CASE("a fixed task judges recorded positions") {
  const auto task = fixed_cube_task("cube-double-play-singletask-task2-v0");
  REQUIRE(task);
  CHECK(task->positions() == 28);
  std::vector<float> q(28);
  const auto place = [&](int cube, float x, float y, float z) {
    q[14 + 7 * cube] = x, q[15 + 7 * cube] = y, q[16 + 7 * cube] = z;
  };
  const auto verdict = [&] {
    const auto [reward, success] = task->judge(q);
    return std::pair(reward, success);
  };
  place(0, 0.35f, 0.1f, 0.02f);
  place(1, 0.5f, 0.1f, 0.02f);
  CHECK(verdict() == std::pair(0.0, true));
  place(1, 0.5f, 0.1399f, 0.02f);
  CHECK(verdict() == std::pair(0.0, true));
  place(1, 0.5f, 0.1401f, 0.02f);
  CHECK(verdict() == std::pair(-1.0, false));
  place(0, 0.35f, 0.1f, 0.0601f);
  CHECK(verdict() == std::pair(-2.0, false));
  CHECK(!fixed_cube_task("cube-double-v0"));
  CHECK(!fixed_cube_task("HalfCheetah-v4"));
}
