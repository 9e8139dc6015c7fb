// `meander sweep` as a user meets it.

#include <doctest/doctest.h>

#include <csignal>

#include "command.h"
#include <meander/core/safetensors.h>

using namespace meander;
namespace fs = std::filesystem;

namespace {

Words small_sweep(const Words& more) {
  Words words = {"sweep", "--algo", "mfpo", "--env", "Pendulum-v1"};
  for (const Words& others : {small_settings(), more}) words.insert(words.end(), others.begin(), others.end());
  return words;
}

}  // namespace

TEST_CASE("a sweep trains every combination once and sums up what it found") {
  Folder folder;
  const Words words = small_sweep({"--steps", "350", "--set", "alpha=0.05,0.1", "--seeds", "0..2", "--out", "s"});
  const Result first = meander_in(folder, words);
  CHECK(first.status == 0);
  CHECK(first.error == "");
  CHECK(contains(first.out, "6 of 6 runs done\n"));
  for (const char* line : {"runs ", "alpha=0.05 ", "alpha=0.1 "}) CHECK_MESSAGE(contains(first.out, line), first.out);
  CHECK((fs::exists(folder.file("s/curves.png")) || contains(first.out, "no curves: gnuplot is missing")));
  const auto table = csv(folder.file("s/table.csv"));
  REQUIRE(table.size() == 3);
  CHECK(table[1][2] == "alpha=0.05");
  CHECK(table[1][3] == "3");

  // A run is the one that train makes with these settings.
  meander_in(folder, small_run({"--steps", "350", "--set", "alpha=0.1", "--seed", "2", "--out", "alone"}));
  check_same_tensors(folder.file("alone/last.safetensors"), folder.file("s/alpha=0.1,s2/last.safetensors"));

  SUBCASE("again: nothing is left to do, only the runs that are missing") {
    const auto written = fs::last_write_time(folder.file("s/alpha=0.05,s0/last.safetensors"));
    fs::remove_all(folder.file("s/alpha=0.1,s1"));
    fs::remove(folder.file("s/alpha=0.1,s2/last.safetensors"));  // stopped before its first checkpoint
    const Result again = meander_in(folder, words);
    CHECK(again.status == 0);
    CHECK(contains(again.out, "4 of 6 runs done"));
    CHECK(contains(again.out, "6 of 6 runs done"));
    CHECK(fs::last_write_time(folder.file("s/alpha=0.05,s0/last.safetensors")) == written);
    const Result report = meander_in(folder, {"sweep", "--report", "--out", "s"});
    CHECK(report.status == 0);
    CHECK(contains(again.out, report.out.substr(report.out.find("runs  "))));
  }

  SUBCASE("a folder with other runs is refused before anything starts") {
    const auto refused = [&](const Words& more, const std::string& part) {
      const Result result = meander_in(folder, small_sweep(more));
      CAPTURE(result.error);
      CHECK(result.status == 2);
      CHECK(contains(result.error, part));
      CHECK(is_one_line(result.error));
      CHECK(!fs::exists(folder.file("s/alpha=0.05,s3")));
    };
    const Words grid = {"--seeds", "0..3", "--set", "alpha=0.05,0.1", "--out", "s", "--steps"};
    const auto with = [&](const Words& more) {
      Words all = grid;
      all.insert(all.end(), more.begin(), more.end());
      return all;
    };
    refused(with({"350", "--set", "discount=0.9"}), "discount 0.99, not 0.9");
    refused(with({"300"}), "is at step 350 already");
    fs::remove(folder.file("s/alpha=0.1,s2/config.toml"));
    refused(with({"350"}), "s/alpha=0.1,s2: not a run folder");
  }
}

TEST_CASE("a sweep stopped by a signal saves its runs and goes on") {
  Folder folder;
  int number = 0;
  SUBCASE("Ctrl-C") { number = SIGINT; }
  SUBCASE("killed: the runs are told all the same") { number = SIGKILL; }
  const auto words = [](const std::string& steps) {
    return small_sweep({"--steps", steps, "--seeds", "0,1,2", "--out", "s", "--jobs", "2"});
  };
  Process process(folder, words("100000"));
  REQUIRE(wait_for_step(process, folder.file("s/s0/metrics.csv"), 250));
  REQUIRE(wait_for_step(process, folder.file("s/s1/metrics.csv"), 250));
  process.signal(number);
  const Result stopped = process.wait();
  if (number == SIGINT) {
    CHECK(stopped.status == 130);
    CHECK(contains(stopped.out, "0 of 3 runs are done"));
    CHECK(contains(stopped.out, "same command again"));
  }
  int64_t furthest = 0;
  for (const char* run : {"s/s0/", "s/s1/"}) {
    const std::string log = folder.file(std::string(run) + "log.txt");
    for (int i = 0; i < 3000 && !contains(read_text(log), "stopped and saved"); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    CHECK(contains(read_text(log), "stopped and saved"));
    const SafetensorsFile checkpoint(folder.file(std::string(run) + "last.safetensors"));
    furthest = std::max<int64_t>(furthest, std::stoll(checkpoint.metadata("step")));
  }
  CHECK(!fs::exists(folder.file("s/s2")));
  const Result on = meander_in(folder, words(std::to_string(furthest + 100)));
  CHECK(on.status == 0);
  CHECK(contains(on.out, "3 of 3 runs done"));
  CHECK(contains(read_text(folder.file("s/s0/log.txt")), "resumed at step"));
}

// The checkpoints do not fit on the disk.
TEST_CASE("a run that fails is reported and the others go on") {
  Folder folder;
  const Words words = small_sweep({"--steps", "200", "--seeds", "0..1", "--out", "s", "--jobs", "1"});
  const Result result = meander_in(folder, words, 20000);
  CHECK(result.status == 1);
  for (const char* run : {"s0: failed with status 1: meander: ", "s1: failed with status 1: meander: "})
    CHECK_MESSAGE(contains(result.error, run), result.error);
  CHECK(contains(result.out, "0 of 2 runs done, 2 failed"));
  CHECK(meander_in(folder, words).status == 0);
}

TEST_CASE("a sweep finds what is wrong before it starts") {
  Folder folder;
  write_text(folder.file("file"), "");
  const struct {
    Words words;
    std::string part;
  } cases[] = {
      {{"sweep", "--env", "Pendulum-v1"}, "--algo"},
      {{"sweep", "--algo", "mfpo"}, "--env"},
      {{"sweep", "--algo", "mfpo", "--out", "s"}, "--env"},
      {{"sweep", "--report"}, "--out"},
      {{"sweep", "--report", "--out", "none"}, "none"},
      {{"sweep", "--report", "--out", "."}, "no runs"},
      {small_sweep({"--seeds", "4..1"}), "--seeds"},
      {small_sweep({"--set", "alpha=0.1,x"}), "--set alpha: expected a number"},
      {small_sweep({"--set", "alpah=0.1"}), "alpha"},
      {small_sweep({"--set", "alpha=0.1,0.10"}), "the same run"},
      {small_sweep({"--set", "v_min=0,3", "--set", "v_max=2"}), "v_min 3"},
      {small_sweep({"--set", "seed=1,2"}), "--seeds"},
      {small_sweep({"--out", "file/s"}), "--out"},
      {small_sweep({"--jobs", "-1"}), "--jobs"},
  };
  for (const auto& [words, part] : cases) {
    const Result result = meander_in(folder, words);
    CAPTURE(words.back());
    CAPTURE(result.error);
    CHECK(result.status == 2);
    CHECK(contains(result.error, part));
    CHECK(is_one_line(result.error));
  }
  for (const auto& entry : fs::directory_iterator(folder.path())) CHECK(!entry.is_directory());
}
