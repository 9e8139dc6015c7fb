#include <meander/algos/settings.h>

#include <doctest/doctest.h>

#include <algorithm>

#include <meander/algos/mfpo.h>
#include <meander/kernels/error.h>

using namespace meander;

namespace {

// With a setting that had another name.
struct RenamedSettings final : AlgorithmSettings {
  int64_t width = 8;
  std::string name() const override { return "renamed"; }
  std::string title() const override { return "An algorithm of a test"; }
  std::vector<Setting> settings() override { return {{"width", &width, "units", "of it", 1, 64, {}}}; }
  std::vector<Renamed> renamed() const override { return {{"hidden_width", "width"}}; }
  std::unique_ptr<Agent> make_agent(int observations, int actions, uint64_t seed) const override {
    return make_algorithm("sac")->make_agent(observations, actions, seed);
  }
};

}  // namespace

// What all have in common, unless a source says otherwise.
TEST_CASE("defaults") {
  for (const char* name : {"mfpo", "som", "mvp", "sac", "qc", "fql", "flow_map"}) {
    CAPTURE(name);
    const auto settings = make_algorithm(name);
    const std::vector<Setting> table = settings->settings();
    const auto real = [&](const char* key) { return **std::get_if<double*>(&find_setting(table, key)->value); };
    CHECK(real("target_rate") == 0.005);
    CHECK(real("discount") == 0.99);
    CHECK(real("learning_rate") == 3e-4);
    CHECK(**std::get_if<int64_t*>(&find_setting(table, "batch_size")->value) == 256);
  }
}

TEST_CASE("settings by name") {
  MfpoSettings mfpo;
  set(mfpo, "alpha", "0.05");
  set(mfpo, "batch_size", "1e2");
  set(mfpo, "proposals", "gaussian");
  set(mfpo, "tune_alpha", "false");
  CHECK(mfpo.alpha == 0.05);
  CHECK(mfpo.batch_size == 100);
  CHECK(mfpo.proposals == "gaussian");
  CHECK_FALSE(mfpo.tune_alpha);
  CHECK_THROWS_WITH_AS(set(mfpo, "bathc", "1"), "mfpo has no setting 'bathc'; did you mean batch_size?", Error);
  CHECK_THROWS_WITH_AS(set(mfpo, "batch_size", "0"), "batch_size: expected a whole number from 1 to 65536, got '0'",
                       Error);
  CHECK_THROWS_WITH_AS(set(mfpo, "proposals", "none"), doctest::Contains("one of both, policy, gaussian"), Error);
  CHECK_THROWS_AS(set(mfpo, "discount", "nan"), Error);
  CHECK(mfpo.batch_size == 100);
}

TEST_CASE("an agent by name, and algorithms from outside") {
  EnvironmentInfo task;
  task.observations = 3;
  task.actions = 2;
  const auto agent = make_agent("sac", task, {{"batch_size", "16"}, {"width", "8"}}, 1);
  CHECK(agent->observations() == 3);
  CHECK(agent->actions() == 2);
  CHECK(agent->batch_size() == 16);
  CHECK_THROWS_AS(make_agent("sac", task, {{"batch", "16"}}, 1), Error);

  const auto make = [] { return std::make_unique<RenamedSettings>(); };
  register_algorithm("renamed", make);
  CHECK_THROWS_AS(register_algorithm("renamed", make), Error);
  CHECK_THROWS_AS(register_algorithm("mfpo", make), Error);
  const auto names = algorithm_names();
  CHECK(std::count(names.begin(), names.end(), "renamed") == 1);
  CHECK(make_agent("renamed", task, {{"hidden_width", "16"}}, 1)->actions() == 2);
}

TEST_CASE("a name of before stands for today's") {
  RenamedSettings settings;
  set(settings, "hidden_width", "16");
  CHECK(settings.width == 16);
  CHECK_THROWS_WITH_AS(set(settings, "hidden_width", "0"), doctest::Contains("width: expected"), Error);
  CHECK(name_of_today("width", settings.renamed()) == "width");
  CHECK(name_of_today("hidden_width", settings.renamed()) == "width");
}
