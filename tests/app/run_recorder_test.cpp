#include <meander/app/metrics.h>
#include <meander/app/run_recorder.h>

#include <doctest/doctest.h>

#include <filesystem>
#include <functional>
#include <optional>

#include "../algos/fakes.h"
#include "../altered.h"
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

// Another process has taken the folder over: whatever this one was about to write, it does not.
TEST_CASE("a run that lost its folder writes nothing more") {
  Folder folder;
  Run run(folder.file(""), [](Run& r) { r.config.training.checkpoint_interval = 120; });
  const std::string metrics = read_text(folder.file("metrics.csv"));
  std::filesystem::rename(folder.file("claim.1"), folder.file("claim.2"));
  SUBCASE("to its metrics") { CHECK_THROWS_AS(run.training->run(*run.recorder), ClaimLost); }
  SUBCASE("no checkpoint") { CHECK_THROWS_AS(run.recorder->checkpoint(10), ClaimLost); }
  SUBCASE("no best agent") { CHECK_THROWS_AS(run.recorder->evaluated(10, Evaluation{{1}}, true), ClaimLost); }
  SUBCASE("no last finite agent") { CHECK_THROWS_AS(run.recorder->update_failed(10), ClaimLost); }
  run.recorder.reset();
  CHECK(read_text(folder.file("metrics.csv")) == metrics);
  for (const char* name : {"last.safetensors", "best.safetensors", "last_good.safetensors", "last.safetensors.partial"})
    CHECK(!std::filesystem::exists(folder.file(name)));
  CHECK(std::filesystem::exists(folder.file("claim.2")));
}

// Other programs write their event files beside ours; copied ones may have our kind of name.
TEST_CASE("a run goes on in its own event file") {
  Folder folder;
  const std::string theirs[] = {"events.out.tfevents.1.otherhost", "events.out.tfevents.0000000001.meander",
                                "events.out.tfevents.9999999999.meander", "events.out.tfevents.5.meander.v2"};
  std::string ours;
  {
    Run run(folder.file(""));
    run.training->run(*run.recorder);
    for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
      if (is_events_name(entry.path().filename().string())) ours = entry.path().string();
  }
  const auto size = std::filesystem::file_size(ours);
  for (const std::string& name : theirs) write_text(folder.file(name), std::string(50'000, 'x'));
  const SafetensorsFile checkpoint(folder.file("last.safetensors"));
  {
    Run run(folder.file(""), [](Run& r) { r.config.training.steps = 500; }, &checkpoint);
    run.training->run(*run.recorder);
  }
  CHECK(std::filesystem::file_size(ours) > size);
  for (const std::string& name : theirs) CHECK(read_text(folder.file(name)) == std::string(50'000, 'x'));
  CHECK(folder.files() == 6 + std::ssize(theirs));
  // Without a checkpoint nothing tells which is ours: a new one is begun.
  std::filesystem::remove(folder.file("last.safetensors"));
  Run again(folder.file(""));
  CHECK(folder.files() == 7 + std::ssize(theirs));  // one checkpoint less, one event file and the claim more
}

TEST_CASE("what a checkpoint says of the other files is checked") {
  Folder folder;
  {
    Run run(folder.file(""));
    run.training->run(*run.recorder);
  }
  const std::string metrics = read_text(folder.file("metrics.csv"));
  const auto resumed = [&](const char* key, const std::string& value) {
    Altered file(folder.file("last.safetensors"));
    if (*key) file.metadata[key] = value;
    file.write(folder.file("changed"));
    const SafetensorsFile checkpoint(folder.file("changed"));
    Run run(folder.file(""), [](Run& r) { r.config.training.steps = 500; }, &checkpoint);
  };
  for (const char* key : {"metrics_bytes", "events_bytes", "wall_seconds"})
    for (const char* value : {"nan", "inf", "-5", "12junk", "1e999", "", "9e99"}) {
      CAPTURE(value);
      CHECK_THROWS_WITH_AS(resumed(key, value), doctest::Contains(key), Error);
    }
  for (const char* value : {"/etc/passwd", "../events.out.tfevents.1.meander", "metrics.csv", ""})
    CHECK_THROWS_WITH_AS(resumed("events", value), doctest::Contains("event file"), Error);
  CHECK(read_text(folder.file("metrics.csv")) == metrics);

  // Rows that the checkpoint counts are gone: said, and the lines that are left stay whole.
  write_text(folder.file("metrics.csv"), metrics.substr(0, metrics.size() - 5));
  resumed("", "");
  CHECK(read_text(folder.file("metrics.csv")) == metrics.substr(0, metrics.rfind('\n', metrics.size() - 2) + 1));
  CHECK(read_text(folder.file("log.txt")).find("metrics.csv is shorter than at the checkpoint") != std::string::npos);
}
