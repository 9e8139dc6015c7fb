// Protects that presets say what their sources do, for the tasks that they are of, and that no other name passes.
#include <meander/algos/presets.h>

#include <doctest/doctest.h>

#include <meander/kernels/error.h>

using namespace meander;

namespace {

std::string value(const std::string& algorithm, const std::string& preset, const std::string& task,
                  const std::string& key) {
  const auto settings = make_algorithm(algorithm);
  TrainingSettings loop;
  apply_preset(*settings, loop, preset, task);
  std::vector<Setting> table = settings->settings();
  for (const Setting& of_loop : loop.settings()) table.push_back(of_loop);
  const Setting* setting = find_setting(table, key);
  if (auto* const* integer = std::get_if<int64_t*>(&setting->value)) return std::to_string(**integer);
  if (auto* const* real = std::get_if<double*>(&setting->value)) return message(**real);
  return *std::get<std::string*>(setting->value);
}

}  // namespace

TEST_CASE("every preset can be applied, and names a source") {
  for (const Preset& p : presets()) {
    CAPTURE(p.name);
    const auto settings = make_algorithm(p.algorithm);
    TrainingSettings loop;
    CHECK_NOTHROW(apply_preset(*settings, loop, p.name, std::string(p.task) + "x"));
    CHECK(std::string(p.source).size() > 5);
    CHECK_NOTHROW(settings->make_agent(3, 2, 1));
  }
}

TEST_CASE("presets by task") {
  CHECK(value("som", "som-paper", "Hopper-v4", "beta_max") == "20");
  CHECK(value("som", "som-paper", "Hopper-v4", "velocity") == "unit_score");
  CHECK(value("qc", "bfn", "cube-single-play-singletask-task1-v0", "candidates") == "4");
  CHECK(value("qc", "bfn", "cube-single-play-singletask-task1-v0", "horizon") == "1");
  CHECK(value("fql", "fql-chunks", "cube-double-play-singletask-v0", "distillation") == "300");
  CHECK(value("fql", "fql-chunks", "cube-triple-play-singletask-v0", "distillation") == "100");
  CHECK(value("mvp", "small", "robomimic-lift", "actor_width") == "256");
  CHECK(value("mvp", "small", "robomimic-lift", "offline_steps") == "15000");
  const auto fql = make_algorithm("fql");
  TrainingSettings loop;
  CHECK_THROWS_WITH_AS(apply_preset(*fql, loop, "fql-papr", "cube-single-v0"), doctest::Contains("fql-paper"), Error);
  CHECK_THROWS_WITH_AS(apply_preset(*fql, loop, "fql-paper", "Hopper-v4"), doctest::Contains("Hopper-v4"), Error);
}
