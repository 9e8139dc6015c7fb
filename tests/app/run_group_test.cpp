#include <meander/app/run_group.h>

#include <doctest/doctest.h>

#include "../folder.h"
#include <meander/kernels/error.h>

using namespace meander;
namespace fs = std::filesystem;

namespace {

std::string write_run(const Folder& folder, const std::string& name, const std::string& environment,
                      const std::vector<std::string>& settings) {
  std::vector<Assignment> assignments;
  for (const std::string& text : settings) assignments.push_back(parse_assignment(text));
  RunConfig config = resolve("mfpo", environment, nullptr, assignments);
  fs::create_directory(folder.file(name));
  write_text(folder.file(name + "/config.toml"), to_toml(config));
  write_text(folder.file(name + "/metrics.csv"), "step,evaluation_return_mean\n1,2\n");
  return folder.file(name);
}

std::vector<RunGroup> groups_of(const std::vector<std::string>& paths) {
  std::vector<Run> runs;
  for (const std::string& path : paths) runs.push_back(read_run(path));
  return group_runs(std::move(runs));
}

}  // namespace

// Protects what is averaged: runs that compute the same but for the seed, nothing else, and are called by what differs.
TEST_CASE("runs are grouped by what decides them") {
  Folder folder;
  const auto groups = groups_of({write_run(folder, "a", "Pendulum-v1", {"seed=3", "alpha=0.5", "steps=100"}),
                                 write_run(folder, "b", "Pendulum-v1", {"seed=1", "alpha=0.5", "threads=2"}),
                                 write_run(folder, "c", "Pendulum-v1", {"seed=1", "alpha=0.1", "mixture=half"}),
                                 write_run(folder, "d", "Hopper-v4", {"seed=1", "alpha=0.5"})});
  REQUIRE(groups.size() == 3);
  REQUIRE(groups[0].runs.size() == 2);
  CHECK(groups[0].runs[0].seed == 1);  // in the order of the seeds
  CHECK(groups[0].runs[1].seed == 3);
  CHECK(groups[0].label == "mixture=ess alpha=0.5");
  CHECK(groups[1].label == "mixture=half alpha=0.1");
  CHECK(groups[2].label == "mfpo");  // alone on its environment, whose own defaults are no difference
  CHECK(groups[2].environment == "Hopper-v4");
  CHECK_THROWS_WITH_AS(groups_of({folder.file("a"), folder.file("a")}), doctest::Contains("same configuration"), Error);
}

TEST_CASE("files are grouped by their names") {
  Folder folder;
  fs::create_directory(folder.file("old"));
  const auto file = [&](const std::string& name) {
    write_text(folder.file(name), "step,evaluation_return_mean\n1,2\n");
    return folder.file(name);
  };
  const auto groups = groups_of({file("mfpo-hopper-v4-s0.csv"), file("mfpo-hopper-v4-s12.csv"),
                                 file("mfpo-hopper-v4-bf16-s0.csv"), file("sac-my-task-v2.csv"), file("other-s1.csv"),
                                 file("old/mfpo-hopper-v4-s0.csv")});
  REQUIRE(groups.size() == 5);
  CHECK(groups[0].runs.size() == 2);
  CHECK(groups[0].environment == "Hopper-v4");  // as list spells it
  CHECK(groups[0].label == "mfpo");
  CHECK(groups[1].environment == "Hopper-v4");
  CHECK(groups[1].label == "mfpo bf16");
  CHECK(groups[2].environment == "my-task-v2");
  CHECK(groups[2].label == "sac");
  CHECK(groups[3].environment == "other");
  CHECK(groups[3].label == "other");
  CHECK(groups[4].label == "mfpo (" + folder.file("old") + ")");
}

TEST_CASE("a folder of runs stands for them") {
  Folder folder;
  write_run(folder, "b", "Pendulum-v1", {});
  write_run(folder, "a", "Pendulum-v1", {"seed=1"});
  write_text(folder.file("table.csv"), "");
  CHECK(run_paths(folder.path()) == std::vector{folder.file("a"), folder.file("b")});
  CHECK(run_paths(folder.file("a")) == std::vector{folder.file("a")});
  CHECK_THROWS_WITH_AS(read_run(folder.file("none")), doctest::Contains("no such run"), Error);
  CHECK_THROWS_AS(read_run(folder.file("a/config.toml")), Error);
}
