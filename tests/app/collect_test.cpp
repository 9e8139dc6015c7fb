// collect, and train --data with what it recorded.

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "../folder.h"
#include <meander/app/data_files.h>
#include "command.h"
#include <meander/envs/environments.h>
#include <meander/envs/ogbench_cube.h>
#include <meander/envs/robomimic.h>

using namespace meander;
namespace fs = std::filesystem;

namespace {

// Every row as Pendulum-v1 computes it from the recorded actions, and the lengths of the episodes.
std::vector<int> replay(const DataSet& data, uint64_t seed) {
  const auto environment = make_environment("Pendulum-v1");
  std::vector<int> lengths;
  int length = 0, different = 0;
  for (int64_t row = 0; row < data.rows(); ++row) {
    if (length == 0) {
      Stream random(seed, Purpose::collect_reset, lengths.size());
      environment->reset(random);
    }
    for (int i = 0; i < data.observations; ++i)
      different += data.observation[row * data.observations + i] != static_cast<float>(environment->observation()[i]);
    different += data.mask[row] != 1;  // this task has no true end
    if (data.terminal[row]) {
      lengths.push_back(length);
      length = 0;
    } else {
      const Step step = environment->act(std::span(data.action).subspan(row * data.actions, data.actions));
      different += data.reward[row] != static_cast<float>(step.reward);
      ++length;
    }
  }
  CHECK(different == 0);
  return lengths;
}

}  // namespace

TEST_CASE("collect records random actions as the environment answers them") {
  Folder folder;
  const Result result = meander_in(folder, {"collect", "--env", "Pendulum-v1", "--steps", "450", "--seed", "3"});
  CHECK(result.status == 0);
  CHECK(result.error == "");
  for (const char* words : {"450 transitions", "2 complete episodes", "1 cut", "Pendulum-v1-s3.npz"})
    CHECK_MESSAGE(contains(result.out, words), result.out);
  const DataSet data = read_data_set(folder.file("Pendulum-v1-s3.npz"));
  CHECK(replay(data, 3) == std::vector<int>{200, 200, 50});
  const auto [low, high] = std::minmax_element(data.action.begin(), data.action.end());
  CHECK((*low > -1 && *low < -0.95f));
  CHECK((*high < 1 && *high > 0.95f));

  SUBCASE("the same into the other kind of file, and info shows both") {
    CHECK(meander_in(folder, {"collect", "--env", "Pendulum-v1", "--steps", "450", "--seed", "3", "--out",
                              "data.safetensors"}).status == 0);
    const DataSet other = read_data_set(folder.file("data.safetensors"));
    CHECK(other.observation == data.observation);
    CHECK(other.action == data.action);
    for (const char* name : {"data.safetensors", "Pendulum-v1-s3.npz"}) {
      const Result info = meander_in(folder, {"info", name});
      CHECK(info.status == 0);
      for (const char* word : {"453", "450", "3 observations", "mean"})
        CHECK_MESSAGE(contains(info.out, word), info.out);
    }
  }

  SUBCASE("no file is overwritten") {
    const Result again = meander_in(folder, {"collect", "--env", "Pendulum-v1", "--steps", "10", "--seed", "3"});
    CHECK(again.status == 2);
    CHECK(is_one_line(again.error));
    CHECK(contains(again.error, "Pendulum-v1-s3.npz"));
  }

  SUBCASE("a full disk: status 1 and nothing left") {
    for (const char* name : {"full.npz", "full.safetensors"}) {
      const Result full =
          meander_in(folder, {"collect", "--env", "Pendulum-v1", "--steps", "450", "--out", name}, 4000);
      CHECK(full.status == 1);
      CHECK(is_one_line(full.error));
      CHECK(contains(full.error, name));
      for (const auto& entry : fs::directory_iterator(folder.path()))
        CHECK_MESSAGE(!contains(entry.path().filename().string(), "full"), entry.path().string());
    }
  }
}

TEST_CASE("agents share the steps, exploring or not") {
  Folder folder;
  for (const char* seed : {"1", "2"})
    CHECK(meander_in(folder, small_run({"--steps", "20", "--quiet", "--seed", seed,
                                        "--out", std::string("run") + seed})).status == 0);
  const auto collect = [&](const std::string& out, Words more, const char* threads = "1") {
    const Words words = {"collect", "--steps", "403", "--threads", threads, "--seed", "5", "--out", out};
    more.insert(more.begin(), words.begin(), words.end());
    const Result result = meander_in(folder, more);
    CHECK(result.status == 0);
    CHECK_MESSAGE(contains(result.out, "2 complete episodes, 2 cut"), result.out);
    const DataSet data = read_data_set(folder.file(out));
    CHECK(replay(data, 5) == std::vector<int>{200, 1, 200, 2});
    return data;
  };
  const DataSet explored = collect("a.npz", {"run1", "run2/last.safetensors"});
  const DataSet acted = collect("b.npz", {"run1", "run2", "--deterministic"});
  CHECK(collect("c.npz", {"run1", "run2"}, "3").action == explored.action);
  CHECK(acted.action != explored.action);
  CHECK(collect("d.npz", {"run2", "run1"}).action != explored.action);
}

TEST_CASE("train --data begins with the data set and goes on without the file") {
  Folder folder;
  CHECK(meander_in(folder, {"collect", "--env", "Pendulum-v1", "--steps", "300", "--out", "data.npz"}).status == 0);
  const auto train = [&](const char* out, const char* steps) {
    return meander_in(folder, small_run({"--data", "data.npz", "--set", "offline_steps=100", "--set",
                                         "replay_capacity=1000", "--set", "start_steps=20", "--quiet", "--steps",
                                         steps, "--out", out}));
  };
  CHECK(train("whole", "340").status == 0);
  CHECK(train("halves", "170").status == 0);  // an evaluation is due there anyway
  CHECK(contains(read_text(folder.file("halves/config.toml")), "data = \"data.npz\""));
  fs::remove(folder.file("data.npz"));
  CHECK(meander_in(folder, {"train", "--resume", "halves", "--steps", "340", "--quiet"}).status == 0);
  check_same_tensors(folder.file("whole/last.safetensors"), folder.file("halves/last.safetensors"));

  const Result without = train("none", "340");
  CHECK(without.status == 2);
  CHECK(is_one_line(without.error));
  CHECK(contains(without.error, "data.npz"));
  CHECK(!fs::exists(folder.file("none")));
}

TEST_CASE("collect: bad input") {
  Folder folder;
  write_text(folder.file("text.npz"), "hello");
  const struct {
    Words words;
    std::string part;
  } cases[] = {
      {{"collect"}, "--env"},
      {{"collect", "--env", "Pendulm-v1"}, "Pendulum-v1"},
      {{"collect", "--env", "Pendulum-v1", "--steps", "0"}, "--steps"},
      {{"collect", "--env", "Pendulum-v1", "--deterministic"}, "--deterministic"},
      {{"collect", "--env", "Pendulum-v1", "--out", "data.csv"}, "data.csv"},
      {{"collect", "--env", "Pendulum-v1", "--out", "none/data.npz"}, "none"},
      {{"collect", "none"}, "none"},
      {{"collect", "text.npz"}, "text.npz"},
      {{"info", "text.npz"}, "text.npz"},
      {{"train", "--algo", "mfpo", "--env", "Pendulum-v1", "--data", "text.npz"}, "text.npz"},
  };
  for (const auto& [words, part] : cases) {
    const Result result = meander_in(folder, words);
    CAPTURE(result.error);
    CHECK(result.status == 2);
    CHECK(is_one_line(result.error));
    CHECK(contains(result.error, part));
  }
  for (const auto& entry : fs::directory_iterator(folder.path())) CHECK(!entry.is_directory());
}

// Protects what a user who collects on another machine relies on: the data do not depend on the number of threads, whole
// episodes are as many as asked for, and the last of a number of steps is cut.
TEST_CASE("collect: any number of threads, whole episodes") {
  Folder folder;
  const auto collect = [&](const char* out, Words more) {
    Words words = {"collect", "--env", "Hopper-v4", "--seed", "4", "--out", out};
    words.insert(words.end(), more.begin(), more.end());
    const Result result = meander_in(folder, words);
    CHECK_MESSAGE(result.status == 0, result.error);
    return read_data_set(folder.file(out));
  };
  const DataSet one = collect("1.npz", {"--steps", "501", "--threads", "1"});
  const DataSet three = collect("3.npz", {"--steps", "501", "--threads", "3"});
  CHECK(one.transitions() == 501);
  CHECK(one.observation == three.observation);
  CHECK(one.action == three.action);
  CHECK(one.reward == three.reward);
  CHECK(one.mask == three.mask);
  CHECK(one.terminal == three.terminal);
  const DataSet whole = collect("7.npz", {"--episodes", "7", "--threads", "2"});
  CHECK(std::count(whole.terminal.begin(), whole.terminal.end(), 1) == 7);
  CHECK(std::count(whole.mask.begin(), whole.mask.end(), 0.0f) == 7);  // all fell
  CHECK(std::equal(whole.action.begin(), whole.action.begin() + 300, one.action.begin()));
}

// Protects hours of collecting: what is stopped in the middle goes on where it was, and the file is the
// same as if never stopped.
TEST_CASE("collect: play data go on where they were stopped") {
  if (!has_ogbench_assets()) {
    MESSAGE("skipped: ./meander fetch ogbench brings the task files");
    return;
  }
  Folder folder;
  const auto words = [](const char* out, const char* episodes, const char* threads) {
    return Words{"collect", "--env", "cube-single-play", "--episodes", episodes, "--threads", threads, "--out", out};
  };
  const auto read_file = [](const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  const auto bytes = [&](const char* name) { return read_file(folder.file(name)); };
  CHECK(meander_in(folder, words("all.npz", "2", "2")).status == 0);
  CHECK(!fs::exists(folder.file("all.npz.episodes")));
  // As if killed after the first of two.
  CHECK(meander_in(folder, words("part.npz", "1", "1")).status == 0);
  fs::create_directory(folder.file("again.npz.episodes"));
  fs::rename(folder.file("part.npz"), folder.file("again.npz.episodes") + "/cube-single-v0-s0-000000.npz");
  const Result again = meander_in(folder, words("again.npz", "2", "1"));
  CHECK_MESSAGE(again.status == 0, again.error);
  CHECK(contains(again.out, "1 of 2 episodes are in again.npz.episodes already"));
  CHECK(bytes("again.npz") == bytes("all.npz"));

  const DataSet data = [&] {
    const Relabelling any{28 - 7, [](auto) { return Relabelling::Row{-1, 1}; }};
    return read_data_set(folder.file("all.npz"), &any);
  }();
  CHECK(data.rows() == 2 * 1001);
  CHECK(data.observations == 28);
  const Result info = meander_in(folder, {"info", "all.npz"});
  CHECK(contains(info.out, "no rewards"));

  // What the data are for: a task gives them rewards, an agent learns from them, and its success is reported.
  const std::string task = "cube-single-play-singletask-task1-v0";
  CHECK(contains(meander_in(folder, {"info", "all.npz", "--env", task}).out, "true ends"));
  const Result trained = meander_in(
      folder, {"train", "--algo", "mvp", "--env", task, "--data", "all.npz", "--steps", "2", "--out", "run", "--set",
               "offline_steps=2", "--set", "evaluation_episodes=1", "--set", "actor_width=8", "--set", "critic_width=8",
               "--set", "batch_size=4"});
  CHECK_MESSAGE(trained.status == 0, trained.error);
  CHECK(contains(trained.out, "success in"));
  CHECK(contains(read_file(folder.file("run/metrics.csv")), ",evaluation_success_rate"));
  CHECK(contains(meander_in(folder, {"eval", "run", "--episodes", "1"}).out, "success in 0.0 % of the episodes"));
  const Result other = meander_in(folder, {"train", "--algo", "mvp", "--env", "cube-double-play-singletask-task1-v0",
                                           "--data", "all.npz", "--set", "offline_steps=2"});
  CHECK(other.status == 2);
  CHECK_MESSAGE(contains(other.error, "qpos has 21 numbers in a row, this task has 28"), other.error);
  for (const auto& [more, part] : std::vector<std::pair<Words, std::string>>{
           {{"--env", "cube-single-play"}, "--episodes"},
           {{"--env", "cube-single-play", "--episodes", "1", "--out", "all.npz"}, "exists already"},
           {{"--env", "cube-single-play", "--episodes", "1", "--out", "x.safetensors"}, ".npz"}}) {
    Words all = {"collect"};
    all.insert(all.end(), more.begin(), more.end());
    const Result refused = meander_in(folder, all);
    CHECK(refused.status == 2);
    CHECK_MESSAGE(contains(refused.error, part.c_str()), refused.error);
  }
}

// Scripted demonstrations are what `collect` does where nobody else can act; each is the same whatever the number of
// threads, and wider with more noise and spread.
TEST_CASE("collect: demonstrations of robomimic's tasks") {
  if (!has_robosuite_assets()) {
    MESSAGE("skipped: ./meander fetch robomimic brings the task files");
    return;
  }
  Folder folder;
  const auto collect = [&](const char* out, Words more) {
    Words words = {"collect", "--env", "robomimic-lift", "--episodes", "5", "--seed", "2", "--out", out};
    words.insert(words.end(), more.begin(), more.end());
    const Result result = meander_in(folder, words);
    CHECK_MESSAGE(result.status == 0, result.error);
    CHECK_MESSAGE(contains(result.out, "5 complete episodes (5 a success)"), result.out);
    return read_data_set(folder.file(out));
  };
  const DataSet one = collect("1.npz", {"--threads", "1"}), two = collect("2.npz", {"--threads", "2"});
  CHECK(one.observation == two.observation);
  CHECK(one.action == two.action);
  CHECK(std::count(one.terminal.begin(), one.terminal.end(), 1) == 5);
  CHECK(std::count(one.mask.begin(), one.mask.end(), 0.0f) == 5);
  CHECK(std::count(one.reward.begin(), one.reward.end(), -1.0f) == one.transitions() - 5);
  const DataSet same = collect("3.npz", {"--noise", "0.2", "--spread", "0.5"});
  CHECK(same.action == one.action);
  const DataSet narrow = collect("4.npz", {"--noise", "0", "--spread", "0"});
  CHECK(narrow.rows() < one.rows());

  for (const Words& words : {Words{"--env", "Pendulum-v1", "--noise", "0.1"}, {"--env", "robomimic-lift", "--noise", "2"}}) {
    Words all = {"collect", "--steps", "10", "--out", "no.npz"};
    all.insert(all.end(), words.begin(), words.end());
    const Result result = meander_in(folder, all);
    CHECK(result.status == 2);
    CHECK(is_one_line(result.error));
    CHECK(contains(result.error, "--noise"));
  }
}
