// What the goldens cannot show: v3, of which none are recorded. The steps themselves are held by
// tests/app/verify_environment_test.cpp, the resets by resets_test.cpp.
#include <meander/envs/gymnasium.h>

#include <doctest/doctest.h>

#include <algorithm>

#include <meander/envs/environments.h>

using namespace meander;

namespace {

MujocoEnvironment& started(Environment& environment, std::span<const double> state) {
  auto& mujoco = dynamic_cast<MujocoEnvironment&>(environment);
  mujoco.start_from(state);
  return mujoco;
}

}  // namespace

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
