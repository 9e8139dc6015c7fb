// The command as a user meets it: the built program, its output, its exit status and the files it leaves.

#include <doctest/doctest.h>

#include <algorithm>
#include <csignal>
#include <map>
#include <string>
#include <vector>

#include "command.h"
#include <meander/core/safetensors.h>
#include "event_reader.h"
#include "../folder.h"

using namespace meander;
namespace fs = std::filesystem;

namespace {

// Equal but for the columns that measure time.
void check_same_metrics(const std::string& a, const std::string& b) {
  auto one = csv(a), two = csv(b);
  REQUIRE(one.size() == two.size());
  for (auto* rows : {&one, &two})
    for (Words& row : *rows) row.erase(row.begin() + 1), row.pop_back();
  CHECK(one == two);
}

std::vector<ReadEvent> events_in(const std::string& folder) {
  std::vector<ReadEvent> events;
  int files = 0;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().filename().string().starts_with("events.out.tfevents.")) {
      events = EventReader::read(read_text(entry.path().string()));
      ++files;
    }
  CHECK(files == 1);
  for (ReadEvent& event : events) {
    event.wall_time = 0;
    event.scalars.erase("updates_per_second");
  }
  return events;
}

void check_same_run(const Folder& folder, const std::string& a, const std::string& b) {
  check_same_tensors(folder.file(a + "/last.safetensors"), folder.file(b + "/last.safetensors"));
  check_same_tensors(folder.file(a + "/best.safetensors"), folder.file(b + "/best.safetensors"));
  check_same_metrics(folder.file(a + "/metrics.csv"), folder.file(b + "/metrics.csv"));
  const auto one = events_in(folder.file(a)), two = events_in(folder.file(b));
  REQUIRE(one.size() == two.size());
  for (size_t i = 0; i < one.size(); ++i) {
    CHECK(one[i].step == two[i].step);
    CHECK(one[i].scalars == two[i].scalars);
  }
}

}  // namespace

TEST_CASE("train leaves the run folder that is promised") {
  Folder folder;
  const Result result = meander_in(folder, small_run({"--steps", "400", "--out", "run"}));
  CHECK(result.status == 0);
  CHECK(result.error == "");
  CHECK(contains(result.out, "step 340: evaluation"));
  for (const char* name : {"config.toml", "metrics.csv", "last.safetensors", "best.safetensors", "log.txt"})
    CHECK_MESSAGE(fs::exists(folder.file(std::string("run/") + name)), name);

  const auto rows = csv(folder.file("run/metrics.csv"));
  REQUIRE(rows.size() > 8);
  for (const char* name : {"step", "wall_seconds", "evaluation_return_mean", "evaluation_return_std", "episode_return",
                           "q_mean", "entropy", "alpha", "ess1", "ess2", "lambda", "clipped_low", "clipped_high",
                           "updates_per_second"})
    CHECK_MESSAGE(std::count(rows[0].begin(), rows[0].end(), name) == 1, name);
  std::map<std::string, Words> by_step;
  for (const Words& row : rows) {
    CHECK(row.size() == rows[0].size());
    by_step[row[0]] = row;
  }
  CHECK(by_step.count("170") == 1);  // evaluations at the interval and at the end
  CHECK(by_step.at("170")[2] != "");
  CHECK(by_step.at("340")[2] != "");
  CHECK(by_step.at("400")[2] != "");
  CHECK(by_step.at("200")[2] == "");  // an episode ended: 200 steps
  CHECK(by_step.at("200")[4] != "");
  CHECK(by_step.at("250")[5] != "");  // losses
  CHECK(by_step.count("100") == 0);   // nothing new in the random phase

  // TensorBoard shows the same numbers.
  size_t at = 1;
  for (const ReadEvent& event : events_in(folder.file("run"))) {
    if (!event.version.empty()) continue;
    REQUIRE(at < rows.size());
    CHECK(std::to_string(event.step) == rows[at][0]);
    for (size_t c = 2; c + 1 < rows[0].size(); ++c) {
      CHECK(event.scalars.count(rows[0][c]) == (rows[at][c] != ""));
      if (rows[at][c] != "") CHECK(event.scalars.at(rows[0][c]) == std::strtof(rows[at][c].c_str(), nullptr));
    }
    ++at;
  }
  CHECK(at == rows.size());

  SUBCASE("eval, info and --config read it") {
    const Result eval = meander_in(folder, {"eval", "run", "--episodes", "2"});
    CHECK(eval.status == 0);
    for (const char* word : {"mean", "std", "min", "max"}) CHECK(contains(eval.out, word));
    const Result again = meander_in(folder, {"eval", "run/last.safetensors", "--episodes", "2"});
    CHECK(again.out.substr(again.out.find("mean")) == eval.out.substr(eval.out.find("mean")));
    const Result best = meander_in(folder, {"eval", "run/best.safetensors", "--episodes", "1"});
    CHECK(best.status == 0);
    const Result tensors = meander_in(folder, {"info", "run/last.safetensors"});
    CHECK(tensors.status == 0);
    CHECK(contains(tensors.out, "no data set"));
    CHECK(contains(tensors.out, "adam_m"));
    const Result info = meander_in(folder, {"info", "run"});
    CHECK(info.status == 0);
    for (const char* word : {"Pendulum-v1", "400", "best evaluation", "last.safetensors", "replay"})
      CHECK_MESSAGE(contains(info.out, word), word);
    const Result repeat = meander_in(folder, {"train", "--config", "run/config.toml", "--out", "repeat", "--quiet"});
    CHECK(repeat.status == 0);
    CHECK(repeat.out == "");
    check_same_run(folder, "run", "repeat");
  }

  SUBCASE("nothing is overwritten") {
    const std::string before = read_text(folder.file("run/metrics.csv"));
    const Result second = meander_in(folder, small_run({"--steps", "400", "--out", "run"}));
    CHECK(second.status == 2);
    CHECK(contains(second.error, "--resume run"));
    CHECK(is_one_line(second.error));
    CHECK(read_text(folder.file("run/metrics.csv")) == before);
  }

  SUBCASE("resume takes more steps and nothing else") {
    for (const Words& words : {Words{}, Words{"--steps", "300"}, Words{"--steps", "500", "--seed", "4"},
                               Words{"--steps", "500", "--env", "Hopper-v4"},
                               Words{"--steps", "500", "--set", "alpha=2"},
                               Words{"--steps", "500", "--out", "other"}}) {
      Words all = {"train", "--resume", "run"};
      all.insert(all.end(), words.begin(), words.end());
      const Result refused = meander_in(folder, all);
      CHECK(refused.status == 2);
      CHECK(is_one_line(refused.error));
    }
    const Result more = meander_in(folder, {"train", "--resume", "run", "--steps", "500", "--seed", "0"});
    CHECK(more.status == 0);
    CHECK(last_step(folder.file("run/metrics.csv")) == 500);
    CHECK(contains(read_text(folder.file("run/config.toml")), "steps = 500 "));
  }

  SUBCASE("a damaged checkpoint is refused, the run folder is left alone") {
    const std::string whole = read_text(folder.file("run/last.safetensors"));
    const std::string metrics = read_text(folder.file("run/metrics.csv"));
    for (const size_t length : {size_t{0}, size_t{5}, size_t{2000}, whole.size() - 1}) {
      write_text(folder.file("run/last.safetensors"), whole.substr(0, length));
      for (const Words& words : {Words{"train", "--resume", "run", "--steps", "500"}, Words{"eval", "run"},
                                 Words{"info", "run"}}) {
        const Result result = meander_in(folder, words);
        CHECK(result.status == 2);
        CHECK(is_one_line(result.error));
        CHECK(contains(result.error, "last.safetensors"));
      }
    }
    CHECK(read_text(folder.file("run/metrics.csv")) == metrics);
  }

  SUBCASE("a full disk: status 1, the old checkpoint is kept") {
    const std::string before = read_text(folder.file("run/last.safetensors"));
    const Result full = meander_in(folder, {"train", "--resume", "run", "--steps", "450"}, before.size() / 2);
    CHECK(full.status == 1);
    CHECK(is_one_line(full.error));
    CHECK(contains(full.error, "safetensors"));
    CHECK(contains(full.error, "--resume run"));
    CHECK(read_text(folder.file("run/last.safetensors")) == before);
    for (const auto& entry : fs::directory_iterator(folder.file("run")))
      CHECK_MESSAGE(!contains(entry.path().filename().string(), ".partial"), entry.path().string());
    const Result after = meander_in(folder, {"train", "--resume", "run", "--steps", "450"});
    CHECK(after.status == 0);
  }
}

// The metrics written after the last checkpoint, and anything half written, must not survive.
TEST_CASE("killed by SIGKILL and resumed: the same bits as without") {
  Folder folder;
  Process process(folder, small_run({"--steps", "100000", "--out", "killed"}));
  REQUIRE(wait_for_step(process, folder.file("killed/metrics.csv"), 300));
  process.signal(SIGKILL);
  CHECK(process.wait().status == 128 + SIGKILL);
  const int64_t saved = std::stoll(SafetensorsFile(folder.file("killed/last.safetensors")).metadata("step"));
  const std::string steps = std::to_string(saved + 220);
  CHECK(meander_in(folder, {"train", "--resume", "killed", "--steps", steps, "--threads", "2"}).status == 0);
  CHECK(meander_in(folder, small_run({"--steps", steps, "--out", "whole"})).status == 0);
  check_same_run(folder, "killed", "whole");
}

TEST_CASE("Ctrl-C saves and says how to go on") {
  Folder folder;
  int number = 0;
  SUBCASE("Ctrl-C") { number = SIGINT; }
  SUBCASE("kill") { number = SIGTERM; }
  SUBCASE("the terminal is closed") { number = SIGHUP; }
  Process process(folder, small_run({"--steps", "100000", "--out", "stopped"}));
  REQUIRE(wait_for_step(process, folder.file("stopped/metrics.csv"), 200));
  process.signal(number);
  const Result result = process.wait();
  CHECK(result.status == 130);
  CHECK(contains(result.out, "./meander train --resume stopped"));
  const int64_t saved = std::stoll(SafetensorsFile(folder.file("stopped/last.safetensors")).metadata("step"));
  const std::string steps = std::to_string(saved + 130);
  CHECK(meander_in(folder, {"train", "--resume", "stopped", "--steps", steps, "--quiet"}).status == 0);
  CHECK(meander_in(folder, small_run({"--steps", steps, "--out", "whole"})).status == 0);
  check_same_run(folder, "stopped", "whole");
}

TEST_CASE("stopped before the first checkpoint: resume starts again") {
  Folder folder;
  meander_in(folder, small_run({"--steps", "400", "--out", "run"}));
  fs::copy(folder.file("run"), folder.file("again"));
  fs::remove(folder.file("again/last.safetensors"));
  CHECK(meander_in(folder, {"train", "--resume", "again"}).status == 0);
  check_same_run(folder, "run", "again");
}

// One line that names what is wrong, status 2, and nothing left behind.
TEST_CASE("bad input") {
  Folder folder;
  write_text(folder.file("file"), "not a folder");
  write_text(folder.file("wrong.toml"), "[algorithm]\nbatch_size = 'many'\n");
  const struct {
    Words words;
    std::string part;
  } cases[] = {
      {{"train", "--algo", "mfpo", "--env", "Foo"}, "Foo"},
      {{"train", "--algo", "mfpo", "--env", "HalfChetah-v4"}, "HalfCheetah-v4"},
      {{"train", "--algo", "x", "--env", "Pendulum-v1"}, "meander list"},
      {{"train", "--algo", "mfpo", "--env", "Pendulum-v1", "--set", "bathc=1"}, "batch_size"},
      {{"train", "--algo", "mfpo", "--env", "Pendulum-v1", "--set", "batch_size=-3"}, "1 to 65536"},
      {{"train", "--algo", "mfpo", "--env", "Pendulum-v1", "--set", "batch_size=abc"}, "abc"},
      {{"train", "--algo", "mfpo", "--env", "Pendulum-v1", "--steps", "none"}, "--steps"},
      {{"train", "--algo", "mfpo", "--env", "Pendulum-v1", "--seed", "-1"}, "--seed"},
      {{"train", "--algo", "mfpo", "--env", "Pendulum-v1", "--config", "wrong.toml"}, "wrong.toml:2"},
      {{"train", "--algo", "mfpo", "--env", "Pendulum-v1", "--config", "none.toml"}, "none.toml"},
      {{"train", "--algo", "mfpo", "--env", "Pendulum-v1", "--out", "file/run"}, "--out"},
      {{"train", "--algo", "mfpo", "--env", "Pendulum-v1", "--stpes", "5"}, "--steps"},
      {{"train", "--algo", "mfpo", "--env"}, "--env"},
      {{"train", "--algo", "mfpo"}, "--env"},
      {{"train", "--env", "Pendulum-v1"}, "--algo"},
      {{"train", "--resume", "none"}, "none"},
      {{"trian"}, "train"},
      {{"eval", "none"}, "none"},
      {{"eval"}, "RUN"},
      {{"eval", "file"}, "file"},
      {{"info", "none"}, "none"},
      {{"config"}, "--algo"},
      {{"test"}, "script"},
      {{"bench"}, "script"},
  };
  for (const auto& [words, part] : cases) {
    const Result result = meander_in(folder, words);
    CAPTURE(words.back());
    CAPTURE(result.error);
    CHECK(result.status == 2);
    CHECK(is_one_line(result.error));
    CHECK(contains(result.error, part));
  }
  for (const auto& entry : fs::directory_iterator(folder.file(""))) CHECK(!entry.is_directory());  // no run folder
}

TEST_CASE("a run gets a folder of its own") {
  Folder folder;
  for (int i = 0; i < 2; ++i)
    CHECK(meander_in(folder, small_run({"--steps", "20", "--seed", "7", "--quiet"})).status == 0);
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder.file("runs")))
    names.push_back(entry.path().filename().string());
  REQUIRE(names.size() == 2);
  for (const std::string& name : names) CHECK(name.starts_with("mfpo-Pendulum-v1-s7-"));
}

TEST_CASE("list and config print what there is") {
  Folder folder;
  const Result list = meander_in(folder, {"list"});
  CHECK(list.status == 0);
  for (const char* name : {"mfpo", "HalfCheetah-v4", "Humanoid-v5", "Pendulum-v1", "376"})
    CHECK_MESSAGE(contains(list.out, name), name);
  const Result config = meander_in(folder, {"config", "--algo", "mfpo", "--env", "Pendulum-v1"});
  CHECK(config.status == 0);
  write_text(folder.file("printed.toml"), config.out);
  const Result train = meander_in(folder, {"train", "--config", "printed.toml", "--steps", "10", "--out", "run"});
  CHECK(train.status == 0);
}

// 0: all within; 1: something is out; 2: not a known kind. A file that fails does not hide the others.
TEST_CASE("verify tells good from bad from unknown") {
  Folder folder;
  const std::string golden = MEANDER_TEST_DATA "/gym-Pendulum-v1.safetensors";
  const Result good = meander_in(folder, {"verify", golden});
  CHECK(good.status == 0);
  CHECK(contains(good.out, "reward"));

  // One recorded number changed.
  const SafetensorsFile file(golden);
  SafetensorsWriter writer;
  for (const auto& [key, value] : file.metadata()) writer.metadata(key, value);
  std::vector<double> changed;
  for (const auto& [name, tensor] : file.tensors()) {
    const bool change = tensor.dtype == DType::float64 && changed.empty() && contains(name, "reward");
    if (change) {
      const auto values = tensor.as<double>();
      changed.assign(values.begin(), values.end());
      changed[changed.size() / 2] += 0.01;
    }
    writer.add(name, tensor.dtype, tensor.shape, change ? static_cast<const void*>(changed.data()) : tensor.data);
  }
  REQUIRE(!changed.empty());
  writer.write(folder.file("changed.safetensors"));
  const Result bad = meander_in(folder, {"verify", "changed.safetensors"});
  CHECK(bad.status == 1);
  CHECK(contains(bad.out, "OUT"));

  write_text(folder.file("text"), "hello");
  SafetensorsWriter other;
  const float x = 1;
  other.add("x", {1}, &x);
  other.write(folder.file("other.safetensors"));
  for (const char* name : {"text", "none", "other.safetensors"}) {
    const Result result = meander_in(folder, {"verify", name, "changed.safetensors"});
    CHECK(result.status == 2);
    CHECK(is_one_line(result.error));
    CHECK(contains(result.error, name));
    CHECK(contains(result.out, "OUT"));
  }
}
