#include <meander/app/metrics.h>
#include <meander/app/run_recorder.h>

#include <doctest/doctest.h>

#include <functional>
#include <optional>

#include "../algos/fakes.h"
#include <meander/kernels/error.h>
#include "../folder.h"

using namespace meander;

namespace {

// A run of the stand-in learner in `folder`.
struct Run {
  explicit Run(const std::string& folder, const std::function<void(Run&)>& change = {},
               const SafetensorsFile* checkpoint = nullptr) {
    config = resolve("mfpo", "Pendulum-v1", nullptr, {});
    config.training.steps = 400;
    config.training.start_steps = 100;
    config.training.evaluation_interval = 150;
    config.training.evaluation_episodes = 1;
    config.training.log_interval = 50;
    if (change) change(*this);
    const std::vector<Environment*> lines = {&line}, evaluation_lines = {&evaluation_line};
    training.emplace(config.training, learner, lines, evaluation_lines);
    if (checkpoint) training->load(*checkpoint);
    recorder.emplace(folder, config, *training, learner, checkpoint, true);
  }
  RunConfig config;
  fakes::Learner learner;
  fakes::Line line, evaluation_line;
  std::optional<Training> training;
  std::optional<RunRecorder> recorder;
};

}  // namespace

// When a loss is not finite the last finite parameters are on the disk, and the checkpoint to resume is not touched.
TEST_CASE("a failed update leaves the parameters before it") {
  Folder folder;
  Run run(folder.file(""), [](Run& r) {
    r.learner.fails_at = 60;
    r.config.training.checkpoint_interval = 120;
  });
  CHECK_THROWS_WITH_AS(run.training->run(*run.recorder), doctest::Contains("step 159"), Failure);
  const SafetensorsFile good(folder.file("last_good.safetensors")), last(folder.file("last.safetensors"));
  CHECK(good.metadata("step") == "158");
  CHECK(good.values<float>("weight", 1)[0] == run.learner.weight);
  CHECK(last.metadata("step") == "120");
  CHECK(read_text(folder.file("log.txt")).find("step 159: the update failed") != std::string::npos);
}

// A support that is too narrow is in the log of a quiet run too.
TEST_CASE("warnings are logged") {
  Folder folder;
  Run run(folder.file(""), [](Run& r) {
    r.learner.clipped = 0.5f;
    r.config.training.steps = 1200;
  });
  run.training->run(*run.recorder);
  const std::string log = read_text(folder.file("log.txt"));
  CHECK(log.find("warning: step 1,099") != std::string::npos);
  CHECK(log.find("v_max") != std::string::npos);
}

TEST_CASE("one process a run folder") {
  Folder folder;
  const Run first(folder.file(""));
  CHECK_THROWS_AS(Run(folder.file("")), Error);
}

// The best agent is that of the best evaluation, not of the last.
TEST_CASE("best keeps the best") {
  Folder folder;
  Run run(folder.file(""));
  const double mean[] = {-3, -1, -2};
  for (int i = 0; i < 3; ++i) {
    run.learner.weight = static_cast<float>(i);
    run.recorder->evaluated(10 * i, Evaluation{{mean[i]}}, i < 2);
    run.recorder->step_done(10 * i);
  }
  const SafetensorsFile best(folder.file("best.safetensors"));
  CHECK(best.metadata("step") == "10");
  CHECK(best.metadata("evaluation_return_mean") == "-1");
  CHECK(best.values<float>("weight", 1)[0] == 1);
}

// Of a version that logged in another order and something else: a line stays a line of its table.
TEST_CASE("a run that goes on keeps the columns of its metrics") {
  Folder folder;
  {
    Run run(folder.file(""));
    run.training->run(*run.recorder);
  }
  const std::string path = folder.file("metrics.csv"), today = "loss,clipped_high,clipped_low";
  std::string text = read_text(path);
  REQUIRE(text.find(today) != std::string::npos);
  write_text(path, text.replace(text.find(today), today.size(), "clipped_high,loss,clipped_was"));
  const SafetensorsFile checkpoint(folder.file("last.safetensors"));
  Run run(folder.file(""), [](Run& r) {
    r.config.training.steps = 500;
    r.learner.clipped = 0.25f;
  }, &checkpoint);
  run.training->run(*run.recorder);
  CHECK(read_text(path).starts_with(text));
  const Metrics table(path);   // every line has as many cells as the header
  CHECK(table.values("clipped_high").back().step == 500);
  CHECK(table.values("clipped_high").back().value == 0.25);
  CHECK(table.values("loss").back().step == 500);
  CHECK(table.values("loss").back().value != 0.25);
  CHECK(table.values("clipped_was").back().step == 400);   // of before
  CHECK(table.values("updates_per_second").back().step == 500);
}

// Nothing is created for a run that cannot start, and nothing that is there is used.
TEST_CASE("run folders") {
  Folder folder;
  const RunConfig config = resolve("mfpo", "Pendulum-v1", nullptr, {});
  CHECK(create_run_folder(folder.file("a/b"), config) == folder.file("a/b"));
  CHECK(create_run_folder(folder.file("a/b"), config) == folder.file("a/b"));  // empty: still unused
  write_text(folder.file("a/b/notes"), "mine");
  CHECK_THROWS_WITH_AS(create_run_folder(folder.file("a/b"), config), doctest::Contains("--resume"), Error);
  CHECK_THROWS_WITH_AS(create_run_folder(folder.file("a/b/notes/c"), config), doctest::Contains("--out"), Error);
  CHECK_THROWS_AS(create_run_folder(folder.file("a/b/notes"), config), Error);
}
