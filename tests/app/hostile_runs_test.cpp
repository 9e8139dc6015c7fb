// Run folders that somebody edited, that another machine half wrote, or that were interrupted in odd moments.

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <utility>

#include "../altered.h"
#include "../folder.h"
#include "command.h"

using namespace meander;
namespace fs = std::filesystem;

namespace {

Result resume(const Folder& folder, const Words& more = {}) {
  Words words = {"train", "--resume", "run", "--steps", "430", "--quiet"};
  words.insert(words.end(), more.begin(), more.end());
  return meander_in(folder, words);
}

void check_refused(const Result& result, const std::string& part) {
  CHECK_MESSAGE(result.status == 2, result.error);
  CHECK_MESSAGE(is_one_line(result.error), result.error);
  CHECK_MESSAGE(contains(result.error, part), result.error);
}

// Replaces a part of a text file.
void edit(const std::string& path, const std::string& from, const std::string& to) {
  std::string text = read_text(path);
  REQUIRE(contains(text, from));
  write_text(path, text.replace(text.find(from), from.size(), to));
}

}  // namespace

TEST_CASE("a run folder that was changed from outside") {
  Folder folder;
  REQUIRE(meander_in(folder, small_run({"--steps", "400", "--out", "run"})).status == 0);
  const std::string last = folder.file("run/last.safetensors");

  SUBCASE("no number in networks, targets or moments") {
    for (const auto& [tensor, value] : {std::pair("actor/dense_0/kernel", NAN), {"target1/dense_0/kernel", NAN},
                                        {"target2/dense_0/bias", INFINITY}, {"adam_m/critic1/dense_0/kernel", NAN},
                                        {"adam_v/actor/dense_0/bias", -INFINITY},
                                        {"adam_v/critic2/dense_0/kernel", -1.0f}}) {
      Altered file(last);
      file.values<float>(tensor)[0] = value;
      file.write(last);
      check_refused(resume(folder), tensor);
      file.values<float>(tensor)[0] = 0;
      file.write(last);
    }
  }
  SUBCASE("the environment's numbers") {
    for (const double value : {double{NAN}, double{INFINITY}, -3.0, 2147483647.0, 0.5, 1e300}) {
      Altered file(last);
      const double before = std::exchange(file.values<double>("training.environment.0")[2], value);
      file.write(last);
      check_refused(resume(folder), "Pendulum-v1");
      file.values<double>("training.environment.0")[2] = before;
      file.write(last);
    }
  }
  SUBCASE("sums of metrics that are no numbers spoil no row") {
    for (const double value : {double{NAN}, double{INFINITY}}) {
      Altered file(last);
      file.values<double>("training.metric_sums")[0] = value;
      file.write(last);
      fs::copy(folder.file("run"), folder.file("copy"), fs::copy_options::recursive);
      CHECK(meander_in(folder, {"train", "--resume", "copy", "--steps", "450", "--quiet"}).status == 0);
      CHECK(!contains(read_text(folder.file("copy/metrics.csv")), "nan"));
      CHECK(!contains(read_text(folder.file("copy/metrics.csv")), "inf"));
      fs::remove_all(folder.file("copy"));
    }
  }
  SUBCASE("another configuration than the checkpoint's") {
    edit(folder.file("run/config.toml"), "batch_size = 8 ", "batch_size = 9 ");
    check_refused(resume(folder), "batch_size is 9, but 8 in the checkpoint");
    edit(folder.file("run/config.toml"), "batch_size = 9 ", "batch_size = 8 ");
    edit(folder.file("run/config.toml"), "seed = 0 ", "seed = 1 ");
    check_refused(resume(folder), "seed is 1, but 0 in the checkpoint");
    edit(folder.file("run/config.toml"), "seed = 1 ", "seed = 0 ");
    edit(folder.file("run/config.toml"), "threads = 1 ", "threads = 2 ");  // decides nothing
    CHECK(resume(folder).status == 0);
  }
  SUBCASE("a checkpoint that cannot be opened now may be whole") {
    const Result result = meander_in(folder, {"train", "--resume", "run", "--steps", "430"}, RLIM_INFINITY, [] {
      for (int file = 3; file < 64; ++file) close(file);
      const rlimit limit = {4, 4};
      setrlimit(RLIMIT_NOFILE, &limit);
    });
    check_refused(result, "last.safetensors: cannot open: Too many open files");
    CHECK(!contains(result.error, "start a new one"));
    CHECK(resume(folder).status == 0);
  }
  SUBCASE("links in the place of files") {
    write_text(folder.file("theirs"), "precious");
    for (const char* name : {"metrics.csv", "log.txt"}) {
      fs::rename(folder.file(std::string("run/") + name), folder.file("kept"));
      fs::create_symlink(folder.file("theirs"), folder.file(std::string("run/") + name));
      const Result result = resume(folder);
      CHECK(result.status == 1);
      CHECK_MESSAGE(contains(result.error, "symbolic link"), result.error);
      fs::rename(folder.file("kept"), folder.file(std::string("run/") + name));
    }
    for (const char* name : {"config.toml.partial", "last.safetensors.partial", "best.safetensors.partial"})
      fs::create_symlink(folder.file("theirs"), folder.file(std::string("run/") + name));
    CHECK(resume(folder).status == 0);
    CHECK(read_text(folder.file("theirs")) == "precious");
  }
  SUBCASE("the folder itself may be a link") {
    fs::rename(folder.file("run"), folder.file("scratch"));
    fs::create_directory_symlink("scratch", folder.file("run"));
    CHECK(resume(folder).status == 0);
    CHECK(last_step(folder.file("scratch/metrics.csv")) == 430);
    fs::create_directory(folder.file("empty"));
    fs::create_directory_symlink("empty", folder.file("new"));
    CHECK(meander_in(folder, small_run({"--steps", "20", "--out", "new", "--quiet"})).status == 0);
    CHECK(fs::exists(folder.file("empty/last.safetensors")));
  }
  SUBCASE("metrics that are shorter than the checkpoint says") {
    const std::string metrics = read_text(folder.file("run/metrics.csv"));
    write_text(folder.file("run/metrics.csv"), metrics.substr(0, metrics.size() / 2));
    const Result result = resume(folder);
    CHECK(result.status == 0);
    CHECK_MESSAGE(is_one_line(result.error), result.error);
    CHECK(contains(result.error, "metrics.csv is shorter"));
    CHECK(meander_in(folder, {"info", "run"}).status == 0);
  }
}

TEST_CASE("who diverged is not told to go on, for that would fail") {
  Folder folder;
  Words words = {"train", "--algo", "sac", "--env", "Pendulum-v1", "--threads", "1", "--steps", "200", "--quiet"};
  for (const char* setting : {"learning_rate=1", "width=64", "batch_size=8", "start_steps=20",
                              "checkpoint_interval=30"})
    words.insert(words.end(), {"--set", setting});
  words.insert(words.end(), {"--out", "run"});
  const Result first = meander_in(folder, words);
  REQUIRE(fs::exists(folder.file("run/last.safetensors")));
  CHECK(meander_in(folder, {"train", "--resume", "run", "--quiet"}).status != 0);
  CHECK(first.status == 1);
  CHECK_MESSAGE(is_one_line(first.error), first.error);
  CHECK(contains(first.error, "is not finite"));
  CHECK(contains(first.error, "the same settings would end here again"));
  CHECK(!contains(first.error, "--resume"));
}

// Batch systems send these before a time limit.
TEST_CASE("signals of batch systems save and end") {
  for (const int number : {SIGUSR1, SIGUSR2, SIGXCPU}) {
    CAPTURE(number);
    Folder folder;
    Process process(folder, small_run({"--steps", "1000000", "--out", "run"}));
    REQUIRE(wait_for_step(process, folder.file("run/metrics.csv"), 200));
    for (int i = 0; i < 3; ++i) process.signal(number);  // repeated, as SIGXCPU is every second
    const Result result = process.wait();
    CHECK(result.status == 130);
    CHECK(contains(result.out, "./meander train --resume run"));
    CHECK(fs::exists(folder.file("run/last.safetensors")));
  }
}

// However long an evaluation takes, or the part without an environment.
TEST_CASE("a signal is served during an evaluation and while training offline") {
  Folder folder;
  std::string file;
  Words words = {"--steps", "10000000", "--out", "run"}, more;
  SUBCASE("an evaluation") { more = {"--set", "evaluation_episodes=1000000", "--set", "evaluation_interval=20"}; }
  SUBCASE("offline") {
    REQUIRE(meander_in(folder, {"collect", "--env", "Pendulum-v1", "--steps", "200", "--out", "data.npz"}).status == 0);
    more = {"--data", "data.npz", "--set", "offline_steps=10000000", "--set", "evaluation_interval=10000000"};
  }
  words.insert(words.end(), more.begin(), more.end());
  Process process(folder, small_run(words));
  while (!fs::exists(folder.file("run/log.txt")) && !process.ended())
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const auto start = std::chrono::steady_clock::now();
  process.signal(SIGTERM);
  const Result result = process.wait();
  CHECK_MESSAGE(result.status == 130, result.error);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(20));
  CHECK(fs::exists(folder.file("run/last.safetensors")));
}

TEST_CASE("a start that fails leaves nothing, and the same again works") {
  Folder folder;
  // Nothing to sample from at the first update.
  Words words = {"train", "--algo", "qc", "--env", "Pendulum-v1", "--steps", "40", "--threads", "1", "--out", "a/run",
                 "--set", "horizon=5", "--set", "batch_size=8", "--set", "actor_width=8", "--set", "critic_width=8",
                 "--set", "evaluation_episodes=1", "--set", "start_steps=2", "--quiet"};
  check_refused(meander_in(folder, words), "start_steps");
  CHECK(!fs::exists(folder.file("a")));
  words[words.size() - 2] = "start_steps=20";
  CHECK(meander_in(folder, words).status == 0);
  // A disk that is full at once.
  const Result full = meander_in(folder, small_run({"--steps", "20", "--out", "b/run"}), 100);
  CHECK(full.status == 1);
  CHECK_MESSAGE(is_one_line(full.error), full.error);
  CHECK(!fs::exists(folder.file("b")));
  CHECK(meander_in(folder, small_run({"--steps", "20", "--out", "b/run"})).status == 0);
}

TEST_CASE("what somebody else made is not written to") {
  Folder folder;
  REQUIRE(meander_in(folder, small_run({"--steps", "20", "--out", "run"})).status == 0);
  fs::create_directories(folder.file("theirs"));
  write_text(folder.file("theirs/table.csv"), "precious");
  const auto sweep_to = [&](const std::string& out) {
    Words words = {"sweep", "--algo", "mfpo", "--env", "Pendulum-v1", "--steps", "20", "--seeds", "0", "--out", out};
    for (const std::string& word : small_settings()) words.push_back(word);
    return meander_in(folder, words);
  };
  const std::string log = read_text(folder.file("run/log.txt"));
  check_refused(sweep_to("run"), "a run, not a sweep");
  CHECK(read_text(folder.file("run/log.txt")) == log);
  check_refused(sweep_to("theirs"), "theirs/table.csv");
  CHECK(read_text(folder.file("theirs/table.csv")) == "precious");
  CHECK(!fs::exists(folder.file("theirs/log.txt")));

  // A link to nothing is found before anything is collected, not after.
  fs::create_symlink("nowhere.npz", folder.file("link.npz"));
  check_refused(meander_in(folder, {"collect", "--env", "Pendulum-v1", "--steps", "10", "--out", "link.npz"}),
                "exists already");

  // What is no run cannot be gone on with.
  const Result used = meander_in(folder, small_run({"--steps", "20", "--out", "theirs"}));
  check_refused(used, "not empty");
  CHECK(!contains(used.error, "--resume"));
  CHECK(contains(meander_in(folder, small_run({"--steps", "20", "--out", "run"})).error, "--resume run"));
}

TEST_CASE("two processes, one folder") {
  Folder folder;
  Process first(folder, small_run({"--steps", "1000000", "--out", "run", "--quiet"}));
  REQUIRE(wait_for_step(first, folder.file("run/metrics.csv"), 200));
  Folder elsewhere;
  Words words = {"train", "--resume", folder.file("run"), "--steps", "2000000"};
  check_refused(meander_in(elsewhere, words), "is writing to it");
  words = small_run({"--steps", "400", "--out", folder.file("run")});
  check_refused(meander_in(elsewhere, words), "not empty");
  CHECK(!first.ended());
  // It finds out that another machine took over, and leaves everything as it is.
  fs::rename(folder.file("run/claim.1"), folder.file("run/claim.2"));
  const Result lost = first.wait();
  CHECK(lost.status == 1);
  CHECK_MESSAGE(contains(lost.error, "another process has taken it over"), lost.error);
  CHECK(is_one_line(lost.error));
  CHECK(fs::exists(folder.file("run/claim.2")));
}
