// Words of the command line that cannot be meant, and what is shown of them.

#include "command.h"

#include <cstdlib>

using namespace meander;
namespace fs = std::filesystem;

namespace {

// One line of printable text, status 2, nothing left.
void check_refused(const Folder& folder, const Words& words, const std::string& part) {
  const Result result = meander_in(folder, words);
  CAPTURE(result.error);
  CAPTURE(part);
  CHECK(result.status == 2);
  CHECK(is_one_line(result.error));
  CHECK(contains(result.error, part));
  for (size_t i = 0; i + 1 < result.error.size(); ++i) CHECK(static_cast<unsigned char>(result.error[i]) >= 0x20);
  for (const auto& entry : fs::directory_iterator(folder.path()))
    CHECK_MESSAGE(!entry.is_directory(), entry.path());
}

const Words start = {"train", "--algo", "sac", "--env", "Pendulum-v1", "--steps", "20"};

Words start_with(const Words& more) {
  Words words = start;
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

}  // namespace

TEST_CASE("what is not UTF-8 is refused at once, whichever word it is") {
  Folder folder;
  const std::string part = "'caf\\xe9' is not UTF-8";
  for (const Words& words : {Words{"info", "caf\xe9"}, Words{"caf\xe9"}, start_with({"--data", "caf\xe9"}),
                             start_with({"--out", "caf\xe9"}), Words{"plot", "a.csv", "--column", "caf\xe9"}})
    check_refused(folder, words, part);
  check_refused(folder, start_with({"--set", "data=caf\xe9"}), "'data=caf\\xe9' is not UTF-8");
}

TEST_CASE("escape sequences in names do not reach the terminal") {
  Folder folder;
  const std::string name = "a\x1b]0;b\x07\xc2\x9b", seen = "a\\x1b]0;b\\x07\\u{9b}";
  check_refused(folder, {"info", name}, seen);
  check_refused(folder, {name}, seen);
  check_refused(folder, {"train", "--" + name}, seen);
  check_refused(folder, {"train", "--algo", name}, seen);
  check_refused(folder, {"collect", "--env", name}, seen);
  check_refused(folder, start_with({"--set", name + "=1"}), seen);
  check_refused(folder, start_with({"--set", "width=" + name}), seen);
  check_refused(folder, {"toy", "--algo", name}, seen);
  check_refused(folder, {"eval", "two\nlines"}, "two\\nlines");

  // In files: their names, tensors' names, columns, a configuration.
  SafetensorsWriter file;
  const float x = 1;
  file.add(name, {1}, &x);
  file.write(folder.file("x.safetensors"));
  const Result info = meander_in(folder, {"info", "x.safetensors"});
  CHECK(info.status == 0);
  CHECK(contains(info.out, seen));
  CHECK(!contains(info.out, "\x1b"));
  write_text(folder.file("a.csv"), "step," + name + "\n1,1\n");
  check_refused(folder, {"plot", "a.csv", "--column", "a" + name}, seen);
  write_text(folder.file("a.toml"), "algo = \"sac\"\nenv = \"x\\u001B[31m\"\n");
  check_refused(folder, {"train", "--config", "a.toml"}, "x\\x1b[31m");
  write_text(folder.file(name + ".toml"), "algo = 1\n");
  check_refused(folder, {"train", "--config", name + ".toml"}, seen + ".toml:1");
}

TEST_CASE("an empty value is not the absence of one") {
  Folder folder;
  write_text(folder.file("a.csv"), "step,evaluation_return_mean\n1,1\n");
  for (const std::string option : {"--resume", "--out", "--data", "--config", "--set", "--steps", "--seed", "--device"})
    check_refused(folder, start_with({option, ""}), option);
  check_refused(folder, start_with({"--set", "data="}), "data");
  check_refused(folder, {"train", "--resume", "--quiet"}, "--resume: expected a value, got the option --quiet");
  check_refused(folder, {"train", "--out=", "--steps", "5"}, "--out: expected a value, got the option --steps");
  check_refused(folder, start_with({"--out", "--quiet"}), "--out: expected a value, got the option --quiet");
  check_refused(folder, {"collect", "--env", "Pendulum-v1", "--out", ""}, "--out");
  check_refused(folder, {"collect", "", "--steps", "5"}, "RUN");
  check_refused(folder, {"eval", ""}, "RUN");
  check_refused(folder, {"info", "a.csv", "--env", ""}, "--env");
  check_refused(folder, {"plot", "a.csv", ""}, "RUN");
  check_refused(folder, {"plot", "a.csv", "--column", ""}, "--column");
  check_refused(folder, {"render", "--env", "Hopper-v4", "--camera", ""}, "--camera");
  check_refused(folder, {"sweep", "--algo", "sac", "--env", "Pendulum-v1", "--out", ""}, "--out");
  check_refused(folder, {"toy", "--out", ""}, "--out");
  check_refused(folder, {"verify", ""}, "FILES");
  check_refused(folder, {"config", "--algo", "sac", "--env", ""}, "--env");
}

TEST_CASE("a file is called what it is called") {
  Folder folder;
  for (const std::string name : {"[a,b]", "'q'", "\"q\"", "%%", "{}", "a,b", "$(x)`y`", "it's"}) {
    check_refused(folder, {"info", name}, name + ": no such");
    check_refused(folder, {"plot", name}, name + ": no such");
    check_refused(folder, {"collect", name}, name + ": no such");
    check_refused(folder, {"plot", "a", name}, "a: no such");
    if (std::system("gnuplot --version >/dev/null 2>&1") != 0) continue;
    write_text(folder.file(name + ".csv"), "step," + name + "\n1,1\n");
    if (contains(name, ",")) continue;
    const Result plot = meander_in(folder, {"plot", name + ".csv", "--column", name, "--out", name + ".svg"});
    CAPTURE(plot.error);
    CHECK(plot.status == 0);
    CHECK(fs::exists(folder.file(name + ".svg")));
  }
}

// Every number is read by one function: what one option takes, all take.
TEST_CASE("numbers are the same everywhere") {
  Folder folder;
  const Words options[] = {{"eval", "x", "--seed"}, {"eval", "x", "--episodes"}, {"eval", "x", "--candidates"},
                           {"collect", "--env", "Pendulum-v1", "--steps"}, {"collect", "--episodes"},
                           {"render", "--width"}, {"render", "--frame"}, {"toy", "--updates"}, {"toy", "--seed"},
                           {"sweep", "--jobs"}, start_with({"--seed"}), start_with({"--threads"})};
  for (const Words& option : options)
    for (const std::string text : {"NaN", "inf", "0x10", "7x", "1,,2", " 7", "+7", "1e400", "1.5", "-1"}) {
      Words words = option;
      words.push_back(text);
      check_refused(folder, words, option.back() + ": expected a whole number from ");
    }
  const Result seeds = meander_in(folder, {"collect", "--env", "Pendulum-v1", "--steps", "1e1", "--seed",
                                           "9007199254740992", "--out", "a.npz"});
  CHECK(seeds.status == 0);
  CHECK(contains(seeds.out, "10 transitions of Pendulum-v1, seed 9007199254740992"));
  check_refused(folder, {"collect", "--env", "Pendulum-v1", "--seed", "9007199254740993"},
                "--seed: expected a whole number from 0 to 9007199254740992, got '9007199254740993'");
}

TEST_CASE("a name that nothing has is refused wherever one is taken") {
  Folder folder;
  CHECK(meander_in(folder, {"collect", "--env", "Pendulum-v1", "--steps", "10", "--out", "a.npz"}).status == 0);
  check_refused(folder, {"info", "a.npz", "--env", "Pendulum-v2"}, "Pendulum-v1");
  check_refused(folder, {"sweep", "--report", "--out", ".", "--algo", "sca"}, "sac");
  check_refused(folder, {"sweep", "--report", "--out", ".", "--env", "Pendulum-v2"}, "Pendulum-v1");
  check_refused(folder, {"config", "--algo", "sac", "--env", "Pendulum-v2"}, "Pendulum-v1");
  check_refused(folder, {"verify", "a.npz", "--device", "gpu"}, "cuda");
}

TEST_CASE("an empty configuration file sets nothing") {
  Folder folder;
  write_text(folder.file("empty.toml"), "");
  CHECK(meander_in(folder, start_with({"--config", "empty.toml", "--out", "run", "--quiet"})).status == 0);
  const Result folder_given = meander_in(folder, start_with({"--config", "run"}));
  CHECK(folder_given.status == 2);
  CHECK(is_one_line(folder_given.error));
}

TEST_CASE("a hint can be pasted") {
  Folder folder;
  const std::string name = "it's a run";
  fs::create_symlink(MEANDER_COMMAND, folder.file("meander"));  // as it is called in hints
  Process process(folder, small_run({"--steps", "1000000", "--out", name}));
  REQUIRE(wait_for_step(process, folder.file(name + "/metrics.csv"), 1));
  process.signal(SIGTERM);
  const Result stopped = process.wait();
  CHECK(stopped.status == 130);
  const std::string hint = "to go on: ";
  const size_t at = stopped.out.find(hint);
  REQUIRE(at != std::string::npos);
  std::string command = stopped.out.substr(at + hint.size());
  command.pop_back();
  CHECK(command.ends_with(" train --resume 'it'\\''s a run'"));
  const auto saved = [&] {
    return std::stoll(SafetensorsFile(folder.file(name + "/last.safetensors")).metadata("step"));
  };
  const int64_t before = saved();
  const std::string more = " --quiet --steps " + std::to_string(before + 10);
  CHECK(std::system(("cd '" + folder.path() + "' && " + command + more).c_str()) == 0);
  CHECK(saved() == before + 10);
  const Result again = meander_in(folder, small_run({"--out", name}));
  CHECK(contains(again.error, "go on with it: --resume 'it'\\''s a run'"));
}
