// Output that fails is an error, and nothing is written where it was not meant to be.

#include "command.h"

#include <cstdlib>

using namespace meander;
namespace fs = std::filesystem;

namespace {

// The command through a shell, for what only that can do to its descriptors; `line` without the command.
Result meander_by_shell(const Folder& folder, const std::string& line) {
  const int status = std::system(("cd '" + folder.path() + "' && '" MEANDER_COMMAND "' " + line).c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), "", read_text(folder.file("err"))};
}

const std::string run =
    "train --algo sac --env Pendulum-v1 --threads 1 --steps 300 --set width=8 --set start_steps=50 "
    "--set log_interval=50 --set evaluation_interval=100 --set evaluation_episodes=1 --out ";

// Nothing but rows of numbers, as `plot` needs them.
void check_metrics(const Folder& folder, const std::string& name) {
  const auto rows = csv(folder.file(name + "/metrics.csv"));
  REQUIRE(rows.size() > 3);
  for (const Words& row : rows) CHECK(row.size() == rows[0].size());
  for (size_t i = 1; i < rows.size(); ++i) CHECK(std::atoll(rows[i][0].c_str()) > 0);
}

}  // namespace

TEST_CASE("a run with closed descriptors writes its files and nothing else into them") {
  Folder folder;
  int number = 0;
  for (const std::string closed : {"<&-", ">&-", "2>&-", "<&- >&-", ">&- 2>&-", "<&- 2>&-", "<&- >&- 2>&-"}) {
    const std::string name = "run" + std::to_string(number++);
    CAPTURE(closed);
    CHECK(meander_by_shell(folder, run + name + " >/dev/null " + closed).status == 0);
    check_metrics(folder, name);
    const std::string log = read_text(folder.file(name + "/log.txt"));
    for (const std::string once : {"started at step 0 of 300", "training sac on", "done: "}) {
      CHECK(log.find(once) != std::string::npos);
      CHECK(log.find(once) == log.rfind(once));
    }
  }
}

TEST_CASE("a verb whose product is its text fails where nobody can read that") {
  Folder folder;
  CHECK(meander_by_shell(folder, run + "run --quiet").status == 0);
  const std::string golden = MEANDER_TEST_DATA "/gym-Pendulum-v1.safetensors";
  for (const std::string verb : {"", "--help", "--version", "train --help", "list", "config --algo sac", "info run",
                                 "eval run --episodes 1", "toy --updates 1 --threads 1"})
    for (const std::string to : {">/dev/full", ">&-", "1</dev/null"}) {
      if (verb.starts_with("toy") && to != ">/dev/full") continue;  // its distances take long
      const Result result = meander_by_shell(folder, verb + " 2>err " + to);
      CAPTURE(verb);
      CAPTURE(to);
      CAPTURE(result.error);
      CHECK(result.status == 1);
      CHECK(is_one_line(result.error));
      CHECK(contains(result.error, "cannot write to standard output: "));
    }
  CHECK(meander_by_shell(folder, "verify " + golden + " 2>err >/dev/full").status == 1);
  // What failed first is what is said.
  write_text(folder.file("run/last.safetensors"), "x");
  const Result damaged = meander_by_shell(folder, "info run 2>err >/dev/full");
  CHECK(damaged.status == 2);
  CHECK_MESSAGE(is_one_line(damaged.error), damaged.error);
  CHECK(contains(damaged.error, "last.safetensors"));
  const Result missing = meander_by_shell(folder, "verify none 2>err >/dev/full");
  CHECK(missing.status == 2);
  CHECK_MESSAGE(is_one_line(missing.error), missing.error);
  CHECK(contains(missing.error, "none: cannot open"));
}

TEST_CASE("a verb whose product is a file makes it, and says what failed beside") {
  Folder folder;
  write_text(folder.file("a.csv"), "step,evaluation_return_mean\n1,1\n");
  const std::string collect = "collect --env Pendulum-v1 --steps 20 --out ";
  const Result full = meander_by_shell(folder, collect + "a.npz 2>err >/dev/full");
  CHECK(full.status == 1);
  CHECK(is_one_line(full.error));
  CHECK(contains(full.error, "cannot write to standard output: "));
  CHECK(fs::exists(folder.file("a.npz")));
  CHECK(meander_by_shell(folder, collect + "b.npz 2>err >&-").status == 0);
  CHECK(fs::exists(folder.file("b.npz")));
  const Result train = meander_by_shell(folder, run + "run 2>err >/dev/full");
  CHECK(train.status == 1);
  CHECK(is_one_line(train.error));
  check_metrics(folder, "run");
  CHECK(meander_by_shell(folder, run + "quiet --quiet 2>err >/dev/full").status == 0);
  // Nobody reads to the end.
  const std::string piped =
      "cd '" + folder.path() + "' && { '" MEANDER_COMMAND "' " + run + "piped 2>err; echo $? >status; }";
  CHECK(std::system((piped + " | true").c_str()) == 0);
  CHECK(read_text(folder.file("status")) == "0\n");
  CHECK(read_text(folder.file("err")) == "");
  check_metrics(folder, "piped");
}

TEST_CASE("the place of an output is tried before the work") {
  Folder folder;
  write_text(folder.file("a.csv"), "step,evaluation_return_mean\n1,1\n");
  fs::create_directory(folder.file("d.svg"));
  fs::create_directories(folder.file("sweep/table.csv"));
  const std::string long_name = std::string(252, 'a') + ".npz";
  const Words cases[] = {
      {"collect", "--env", "Pendulum-v1", "--steps", "1e9", "--out", "/proc/a.npz"},
      {"collect", "--env", "Pendulum-v1", "--steps", "1e9", "--out", "none/a.npz"},
      {"collect", "--env", "Pendulum-v1", "--steps", "1e9", "--out", long_name},
      {"toy", "--updates", "1e9", "--out", "none/a.svg"},
      {"toy", "--updates", "1e9", "--out", "d.svg"},
      {"plot", "a.csv", "--out", "none/a.svg"},
      {"plot", "a.csv", "--out", "d.svg"},
      {"sweep", "--algo", "sac", "--env", "Pendulum-v1", "--steps", "1e9", "--out", "sweep"},
      {"sweep", "--algo", "sac", "--env", "Pendulum-v1", "--steps", "1e9", "--out", "/proc/sweep"},
  };
  for (const Words& words : cases) {
    const Result result = meander_in(folder, words);
    CAPTURE(words.back());
    CAPTURE(result.error);
    CHECK(result.status == 2);
    CHECK(is_one_line(result.error));
    CHECK(contains(result.error, words.back()));
  }
}

TEST_CASE("the values of a sweep do not decide where its runs are") {
  Folder folder;
  fs::create_directory(folder.file("data"));
  for (const std::string seed : {"0", "1"})
    CHECK(meander_in(folder, {"collect", "--env", "Pendulum-v1", "--steps", "300", "--seed", seed, "--out",
                              "data/" + seed + ".npz"}).status == 0);
  const Words sweep = {"sweep", "--algo", "sac", "--env", "Pendulum-v1", "--steps", "20", "--seeds", "0", "--jobs", "1",
                       "--set", "width=8", "--set", "data=data/0.npz,data/1.npz", "--out", "s"};
  const Result result = meander_in(folder, sweep);
  CAPTURE(result.error);
  CHECK(result.status == 0);
  for (const std::string name : {"data=data%2f0.npz,s0", "data=data%2f1.npz,s0"})
    CHECK_MESSAGE(fs::exists(folder.file("s/" + name + "/last.safetensors")), name);
  CHECK(contains(meander_in(folder, {"sweep", "--report", "--out", "s"}).out, "2 of 2 runs done"));
}
