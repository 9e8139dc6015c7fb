// What the goldens cannot show: the distribution of resets (the package draws them with another generator) and v3, of
// which none are recorded. The steps themselves are held by tests/app/verify_environment_test.cpp.
#include "envs/gymnasium.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "distribution.h"
#include "envs/environments.h"

using namespace meander;

namespace {

MujocoEnvironment& started(Environment& environment, std::span<const double> state) {
  auto& mujoco = dynamic_cast<MujocoEnvironment&>(environment);
  mujoco.start_from(state);
  return mujoco;
}

}  // namespace

TEST_CASE("HalfCheetah's resets: positions uniform +-.1, velocities .1 N") {
  const auto columns = many_resets("HalfCheetah-v4");
  REQUIRE(columns.size() == 18);
  for (int i = 0; i < 9; ++i) check_uniform(columns[i], -0.1, 0.1);
  for (int i = 9; i < 18; ++i) check_normal(columns[i], 0.1);
}

TEST_CASE("Hopper's resets: uniform +-.005 around the default pose") {
  const auto columns = many_resets("Hopper-v4");
  REQUIRE(columns.size() == 12);
  for (int i = 0; i < 12; ++i) {
    const double centre = i == 1 ? 1.25 : 0;  // the height
    check_uniform(columns[i], centre - 0.005, centre + 0.005);
  }
}

TEST_CASE("Reacher's resets: a target uniform in a disc, at rest") {
  const auto columns = many_resets("Reacher-v4");
  REQUIRE(columns.size() == 8);
  check_uniform(columns[0], -0.1, 0.1);
  check_uniform(columns[1], -0.1, 0.1);
  std::vector<double> area, angle;
  for (int i = 0; i < samples; ++i) {
    const double x = columns[2][i], y = columns[3][i];
    area.push_back((x * x + y * y) / 0.04);
    angle.push_back(std::atan2(y, x));
  }
  check_uniform(area, 0, 1);
  check_uniform(angle, -M_PI, M_PI);
  check_uniform(columns[4], -0.005, 0.005);
  check_uniform(columns[5], -0.005, 0.005);
  CHECK(constant(columns[6], 0));
  CHECK(constant(columns[7], 0));
}

TEST_CASE("Pusher's resets: arm as modelled, object off the goal") {
  const auto columns = many_resets("Pusher-v5");
  REQUIRE(columns.size() == 22);
  for (int i = 0; i < 7; ++i) CHECK(constant(columns[i], columns[i][0]));
  for (int i = 0; i < samples; ++i) {
    const double x = columns[7][i], y = columns[8][i];
    REQUIRE(std::sqrt(x * x + y * y) > 0.17);
    REQUIRE(std::abs(x + 0.15) <= 0.15);
    REQUIRE(std::abs(y) <= 0.2);
  }
  // Left of the excluded disc y is free: uniform.
  std::vector<double> far;
  for (int i = 0; i < samples; ++i)
    if (columns[7][i] < -0.17) far.push_back(columns[8][i]);
  check_uniform(far, -0.2, 0.2);  // about 7,000 samples: these exceed `critical` once in 12,000
  for (int i : {9, 10, 18, 19, 20, 21}) CHECK(constant(columns[i], 0));
  for (int i = 11; i < 18; ++i) check_uniform(columns[i], -0.005, 0.005);
}

TEST_CASE("Humanoid's and the double pendulum's resets") {
  const auto pendulum = many_resets("InvertedDoublePendulum-v5");
  for (int i = 0; i < 3; ++i) check_uniform(pendulum[i], -0.1, 0.1);
  for (int i = 3; i < 6; ++i) check_normal(pendulum[i], 0.1);
  const auto swimmer = many_resets("Swimmer-v5");
  for (const auto& column : swimmer) check_uniform(column, -0.1, 0.1);
}

// v3 is v4 with zeros for the contact forces: the same rewards, and MFPO's observation sizes.
TEST_CASE("v3 holds zeros where v4 and v5 hold contact forces") {
  for (const std::string task : {"Ant", "Humanoid"}) {
    CAPTURE(task);
    const auto v3 = make_environment(task + "-v3"), v4 = make_environment(task + "-v4");
    Stream random(1, Purpose::test, 0);
    v4->reset(random);
    auto& simulation = dynamic_cast<MujocoEnvironment&>(*v4);
    const std::vector<double> state = simulation.integration_state();
    started(*v3, state);
    started(*v4, state);
    const size_t common = task == "Ant" ? 27 : 376 - 84;
    bool contact = task == "Ant";  // v4 of Ant observes none
    for (int i = 0; i < 60; ++i) {
      const std::vector<double> action(v3->info().actions, i % 2 ? 0.3 : -0.3);
      CHECK(v3->step(action).reward == v4->step(action).reward);
      const auto zeros = v3->observation().subspan(common);
      CHECK(zeros.size() == 84);
      CHECK(std::all_of(zeros.begin(), zeros.end(), [](double x) { return x == 0; }));
      const auto a = v3->observation().first(common), b = v4->observation().first(common);
      CHECK(std::equal(a.begin(), a.end(), b.begin()));
      const auto rest = v4->observation().subspan(common);
      contact = contact || std::any_of(rest.begin(), rest.end(), [](double x) { return x != 0; });
    }
    CHECK(contact);
  }
  for (const std::string task : {"HalfCheetah", "Hopper", "Walker2d"}) {
    const auto v3 = make_environment(task + "-v3"), v4 = make_environment(task + "-v4");
    Stream random(1, Purpose::test, 0), same(1, Purpose::test, 0);
    v3->reset(random);
    v4->reset(same);
    for (int i = 0; i < 20; ++i) {
      const std::vector<double> action(v3->info().actions, 0.3);
      CHECK(v3->step(action).reward == v4->step(action).reward);
      CHECK(v3->save() == v4->save());
    }
  }
}
