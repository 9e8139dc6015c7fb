// What the recordings cannot show of robomimic's tasks: what is drawn at resets, bad input, the cube's model, recorded
// states, and the scripted demonstrations. The steps themselves are held by tests/app/verify_environment_test.cpp.
#include <meander/envs/robomimic_script.h>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <numbers>
#include <thread>

#include <meander/kernels/error.h>
#include <meander/envs/environments.h>

using namespace meander;

namespace {

constexpr double pi = std::numbers::pi;

bool can_run() {
  if (!has_robosuite_assets()) MESSAGE("skipped: no files of robosuite (./meander fetch robomimic)");
  return has_robosuite_assets();
}

std::vector<double> copy(std::span<const double> x) { return {x.begin(), x.end()}; }

// The Kolmogorov-Smirnov distance that n right samples exceed once in a million.
void check_distribution(std::vector<double> x, const std::function<double(double)>& cumulative) {
  std::sort(x.begin(), x.end());
  const auto n = static_cast<double>(x.size());
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double expected = cumulative(x[i]);
    worst = std::max({worst, std::abs(expected - static_cast<double>(i) / n),
                      std::abs(expected - static_cast<double>(i + 1) / n)});
  }
  CHECK(worst < std::sqrt(-std::log(5e-7) / (2 * n)));
}
auto uniform(double low, double high) {
  return [=](double x) { return std::clamp((x - low) / (high - low), 0.0, 1.0); };
}
auto normal(double mean, double deviation) {
  return [=](double x) { return std::erfc((mean - x) / deviation / std::numbers::sqrt2) / 2; };
}

// Each number of 10,000 resets' draws.
template <class Part>
std::vector<double> column(const std::vector<Robomimic::Start>& starts, Part part) {
  std::vector<double> numbers;
  for (const Robomimic::Start& start : starts) numbers.push_back(part(start));
  return numbers;
}
std::vector<Robomimic::Start> draw(const char* task) {
  const Robomimic environment(task);
  Stream random(21, Purpose::test, 0);
  DrawsOf draws(random);
  std::vector<Robomimic::Start> starts;
  for (int i = 0; i < 10000; ++i) starts.push_back(environment.draw(draws));
  return starts;
}

}  // namespace

TEST_CASE("missing files of robosuite are one line with the remedy") {
  setenv("MEANDER_ROBOSUITE_ASSETS", "/nowhere", 1);
  CHECK_FALSE(has_robosuite_assets());
  std::string text;
  try {
    make_environment("robomimic-lift");
  } catch (const Error& error) {
    text = error.what();
  }
  unsetenv("MEANDER_ROBOSUITE_ASSETS");
  CHECK(text.find("./meander fetch robomimic") != std::string::npos);
  CHECK(text.find('\n') == std::string::npos);
}

// From the engine's own generator: the intervals are those of robosuite's samplers. From the package's seed the resets
// are held bit for bit by the recordings.
TEST_CASE("distributions of robomimic's resets") {
  if (!can_run()) return;
  const auto lift = draw("robomimic-lift"), can = draw("robomimic-can"), square = draw("robomimic-square");
  for (int i = 0; i < 3; ++i)
    check_distribution(column(lift, [&](const auto& s) { return s.cube[i]; }), uniform(.020, .022));
  for (const auto* starts : {&lift, &can, &square}) {
    const double home[] = {0, pi / 16, 0, -pi / 2 - pi / 3, 0, pi - .2, pi / 4};
    for (int i = 0; i < Robomimic::arm_joints; ++i)
      check_distribution(column(*starts, [&](const auto& s) { return s.posture[i]; }), normal(home[i], .02));
    check_distribution(column(*starts, [](const auto& s) { return s.object.angle; }), uniform(0, 2 * pi));
  }
  const auto x = [](const auto& s) { return s.object.x; };
  const auto y = [](const auto& s) { return s.object.y; };
  check_distribution(column(lift, x), uniform(-.03, .03));
  check_distribution(column(lift, y), uniform(-.03, .03));
  check_distribution(column(square, x), uniform(-.115, -.11));
  check_distribution(column(square, y), uniform(.11, .225));
  // The can comes last and keeps away from three others, so it is a little nearer to the walls than uniform: bounds, and
  // a share beyond the middle half that is more than a half.
  const auto cx = column(can, x), cy = column(can, y);
  CHECK(*std::ranges::min_element(cx) >= .1 - .12);
  CHECK(*std::ranges::max_element(cx) <= .1 + .12);
  CHECK(*std::ranges::min_element(cy) >= -.25 - .17);
  CHECK(*std::ranges::max_element(cy) <= -.25 + .17);
  CHECK(std::ranges::count_if(cy, [](double v) { return std::abs(v + .25) > .085; }) > 5000);
  for (const auto& s : lift) CHECK(s.object.z == doctest::Approx(.81 + s.cube[2]).epsilon(1e-14));
  CHECK(can.front().object.z == doctest::Approx(.86));
  CHECK(square.front().object.z == doctest::Approx(.89));
}

// What is drawn is where things are after a reset, and the first observation shows it.
TEST_CASE("a reset puts everything where it was drawn") {
  if (!can_run()) return;
  for (const char* task : {"robomimic-lift", "robomimic-can", "robomimic-square"}) {
    CAPTURE(task);
    Robomimic environment(task);
    Stream random(5, Purpose::test, 0), same(5, Purpose::test, 0);
    for (int episode = 0; episode < 3; ++episode) {
      environment.reset(random);
      DrawsOf draws(same);
      const Robomimic::Start start = environment.draw(draws);
      const std::span<const double> q = environment.positions();
      CHECK(copy(q.first(7)) == copy(start.posture));
      CHECK(q[7] == .020833);
      CHECK(q[8] == -.020833);
      const size_t at = environment.task() == RobomimicTask::can ? 30 : 9;
      CHECK(q[at] == start.object.x);
      CHECK(q[at + 1] == start.object.y);
      CHECK(q[at + 2] == start.object.z);
      const size_t seen = environment.task() == RobomimicTask::lift ? 9 : 16;
      CHECK(environment.observation()[seen] == start.object.x);
      if (environment.task() == RobomimicTask::lift) CHECK(copy(environment.cube_half_size()) == copy(start.cube));
    }
  }
}

// Each environment of lift changes a model of its own: two at once must not see each other's cube.
TEST_CASE("cubes of two environments differ") {
  if (!can_run()) return;
  Robomimic a("robomimic-lift"), b("robomimic-lift");
  Stream first(1, Purpose::test, 0), second(2, Purpose::test, 0);
  a.reset(first);
  const double mass = a.model_number("mass");
  b.reset(second);
  CHECK(a.model_number("mass") == mass);
  CHECK(b.model_number("mass") != mass);
  CHECK_THROWS_AS(a.set_cube_half_size(std::vector<double>{.02, .02, 0}), Error);
  CHECK_THROWS_AS(a.set_cube_half_size(std::vector<double>{.02, .02}), Error);
  std::vector<double> saved = a.save();
  const auto size = std::ranges::find(saved, a.cube_half_size()[0]);
  REQUIRE(size != saved.end());
  *size = -1;
  CHECK_THROWS_AS(b.load(saved), Error);
}

// As data sets are made from recorded states: the observation is of that state, and a task done is done.
TEST_CASE("recorded states are observed") {
  if (!can_run()) return;
  Robomimic environment("robomimic-square");
  Stream random(3, Purpose::test, 0);
  environment.reset(random);
  std::vector<double> state = {1.5};
  for (const auto part : {environment.positions(), environment.velocities()})
    state.insert(state.end(), part.begin(), part.end());
  const std::vector<double> seen = copy(environment.observation());
  for (int i = 0; i < 30; ++i) environment.step(std::vector<double>(7, .3));
  environment.put(state, true);
  CHECK(copy(environment.observation()) == seen);
  CHECK_FALSE(environment.success());

  state[1 + 9] = Robomimic::peg[0] + .01;
  state[1 + 10] = Robomimic::peg[1];
  state[1 + 11] = .85;
  environment.put(state, false);
  CHECK(environment.success());
  CHECK(environment.observation()[16] == Robomimic::peg[0] + .01);
  CHECK(environment.observation()[9] == seen[9]);  // the pose in the hand's frame is of the object as seen before
  environment.put(state, false);
  CHECK(environment.observation()[9] != seen[9]);
  state.pop_back();
  CHECK_THROWS_AS(environment.put(state, true), Error);
}

// The sign of the last action closes or opens the fingers, five steps from the middle to the end; 0 leaves them.
TEST_CASE("the gripper goes by the sign") {
  if (!can_run()) return;
  Robomimic environment("robomimic-lift");
  Stream random(3, Purpose::test, 0);
  environment.reset(random);
  std::vector<double> action(7);
  const auto fingers = [&](double close) {
    action[6] = close;
    environment.step(action);
    return copy(environment.controls().last(2));
  };
  CHECK(fingers(0) == std::vector<double>{.02, -.02});
  CHECK(fingers(.01)[0] == doctest::Approx(.016));
  for (int i = 0; i < 4; ++i) fingers(7);
  CHECK(fingers(.5)[0] == doctest::Approx(0));
  CHECK(fingers(-1e-9)[1] == doctest::Approx(-.004));
}

// The script is a demonstration only if it does the task, from other starts and in other ways each time.
TEST_CASE("scripted demonstrations succeed") {
  if (!can_run()) return;
  constexpr int episodes = MEANDER_FEW_CASES ? 2 : 8;
  for (const char* task : {"robomimic-lift", "robomimic-can", "robomimic-square"}) {
    CAPTURE(task);
    Robomimic environment(task);
    int successes = 0;
    std::vector<int> lengths;
    for (int episode = 0; episode < episodes; ++episode) {
      Stream random(8, Purpose::test, episode);
      environment.reset(random);
      RobomimicScript script(environment.task(), Stream(9, Purpose::test, episode), .2, .5);
      Step step;
      int length = 0;
      for (; !step.terminated && !step.truncated; ++length) {
        const std::span<const double> seen = environment.observation();
        const auto action = script.act(std::vector<float>(seen.begin(), seen.end()));
        for (double x : action) CHECK(std::abs(x) <= 1);
        step = environment.step(action);
        CHECK(step.reward == (step.terminated ? 0 : -1));
      }
      successes += step.terminated;
      lengths.push_back(length);
    }
    CHECK(successes >= episodes - 1);
    CHECK(std::ranges::min(lengths) != std::ranges::max(lengths));
  }
}

// Environments of one task share their model; on two threads they step as they do on one.
TEST_CASE("robomimic's environments step side by side") {
  if (!can_run()) return;
  const auto play = [](uint64_t seed) {
    Robomimic environment(seed % 2 ? "robomimic-lift" : "robomimic-square");
    Stream random(seed, Purpose::test, 0);
    environment.reset(random);
    std::vector<double> action(7);
    for (int i = 0; i < 40; ++i) {
      for (double& x : action) x = random.uniform(-1, 1);
      environment.step(action);
    }
    return environment.save();
  };
  for (const uint64_t seed : {1, 2}) {
    const std::vector<double> alone = play(seed);
    std::vector<double> a, b;
    {
      std::jthread one([&] { a = play(seed); }), two([&] { b = play(seed); });
    }
    CHECK(a == alone);
    CHECK(b == alone);
  }
}
