// Protects the wrappers: an action repeated is the same steps one by one, episodes end at the limit given and not at
// the task's, scaled observations have mean 0 and deviation 1 under the actions they were measured with, and a saved
// state goes on with the same bits.

#include <meander/envs/wrapped.h>

#include <doctest/doctest.h>

#include <cmath>

#include <meander/envs/environments.h>

using namespace meander;

namespace {

const std::vector<double> push = {0.4, -0.2, 0.7, 0.1, -0.5, 0.3};

std::unique_ptr<Environment> started(const TaskSettings& settings) {
  auto environment = make_environment("HalfCheetah-v4", settings, 3);
  Stream random(8, Purpose::test, 0);
  environment->reset(random);
  return environment;
}

bool same_observation(const Environment& a, const Environment& b) {
  return std::ranges::equal(a.observation(), b.observation());
}

}  // namespace

TEST_CASE("an action repeated") {
  const auto once = started({}), thrice = started({.action_repeat = 3});
  CHECK(thrice->info().time_limit == 334);  // the last of them has one control step
  for (int i = 0; i < 5; ++i) {
    double sum = 0;
    for (int k = 0; k < 3; ++k) sum += once->step(push).reward;
    CHECK(thrice->step(push).reward == sum);
    CHECK(same_observation(*once, *thrice));
  }
  const auto rest = started({.action_repeat = 300});
  for (int i = 0; i < 3; ++i) CHECK(!rest->step(push).truncated);
  CHECK(rest->step(push).truncated);
}

// A robot that falls in the middle of a repetition falls for good.
TEST_CASE("a true end ends the repetition") {
  const auto one = make_environment("Hopper-v4"), many = make_environment("Hopper-v4", {.action_repeat = 1000}, 0);
  Stream a(1, Purpose::test, 0), b(1, Purpose::test, 0);
  one->reset(a);
  many->reset(b);
  const std::vector<double> still(3, 0.0);
  double sum = 0;
  for (Step step; !step.terminated;) step = one->step(still), sum += step.reward;
  const Step all = many->step(still);
  CHECK(all.terminated);
  CHECK(!all.truncated);
  CHECK(all.reward == sum);
  CHECK(same_observation(*one, *many));
}

TEST_CASE("another time limit") {
  for (const int64_t limit : {7, 1500}) {
    const auto environment = started({.time_limit = limit});
    CHECK(environment->info().time_limit == limit);
    int64_t steps = 1;
    while (!environment->step(push).truncated) ++steps;
    CHECK(steps == limit);
    Stream random(9, Purpose::test, 0);
    environment->reset(random);
    CHECK(!environment->step(push).truncated);
  }
}

TEST_CASE("standard observations") {
  const auto plain = make_environment("Reacher-v4");
  const ObservationScaling scaling = measure_observations(*plain, 3);
  const auto scaled = make_environment("Reacher-v4", {.observation_scaling = "standard"}, 3);
  // Where others began and other actions were drawn. Its 100 episodes are as many samples of the targets: means within
  // .5, five of their deviations of .1; deviations within a third.
  const ObservationScaling again = measure_observations(*scaled, 4);
  for (size_t i = 0; i < scaling.mean.size(); ++i) {
    CHECK(std::abs(again.mean[i]) < 0.5);
    CHECK(again.deviation[i] == doctest::Approx(1).epsilon(0.34));
  }
  CHECK(scaling.deviation.back() == 1);  // a number that never changes
  Stream a(8, Purpose::test, 0), b(8, Purpose::test, 0);
  plain->reset(a);
  scaled->reset(b);
  for (size_t i = 0; i < scaling.mean.size(); ++i)   // in float32, as whoever acts elsewhere does it
    CHECK(scaled->observation()[i] ==
          (static_cast<float>(plain->observation()[i]) - scaling.mean[i]) / scaling.deviation[i]);
}

TEST_CASE("save and load go on with the same bits") {
  const TaskSettings settings{.action_repeat = 2, .time_limit = 9, .observation_scaling = "standard"};
  const auto a = started(settings), b = started(settings);
  for (int i = 0; i < 3; ++i) a->step(push);
  b->load(a->save());
  CHECK(same_observation(*a, *b));
  for (int i = 0; i < 2; ++i) {
    const Step x = a->step(push), y = b->step(push);
    CHECK(x.reward == y.reward);
    CHECK(x.truncated == (i == 1));
    CHECK(x.truncated == y.truncated);
    CHECK(same_observation(*a, *b));
  }
  CHECK_THROWS_AS(a->load(std::vector<double>{}), Error);
  CHECK_THROWS_AS(a->load(std::vector<double>(3)), Error);
}
