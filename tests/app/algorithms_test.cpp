// Every algorithm through the command: a short run, its files, going on, evaluation, and data recorded with it.

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <string>

#include "../folder.h"
#include <meander/app/data_files.h>
#include "command.h"

using namespace meander;
namespace fs = std::filesystem;

namespace {

Words with(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

// A run of an algorithm on Pendulum-v1 at a size that makes hundreds of updates in a second.
Words run(const std::string& algorithm, const Words& more) {
  Words settings = {"batch_size=8", "start_steps=60", "evaluation_interval=100", "evaluation_episodes=1",
                    "log_interval=50", "replay_capacity=1000"};
  const auto set = [&](const Words& more) { settings = with(settings, more); };
  if (algorithm == "sac") set({"width=8", "layers=1"});
  else set({"actor_width=8", "actor_layers=1", "critic_width=8", "critic_layers=1"});
  if (algorithm == "mfpo") set({"policy_proposals=2", "gaussian_proposals=2", "atoms=11"});
  if (algorithm == "som") set({"proposals=4", "environments=3"});
  if (algorithm == "som" || algorithm == "mvp" || algorithm == "qc") set({"candidates=3"});
  if (algorithm == "fql" || algorithm == "flow_map") set({"horizon=2"});
  Words words = {"train", "--algo", algorithm, "--env", "Pendulum-v1", "--threads", "2", "--quiet"};
  for (const std::string& setting : settings) words = with(words, {"--set", setting});
  return with(words, more);
}

const char* const algorithms[] = {"mfpo", "som", "mvp", "sac", "qc", "fql", "flow_map"};

}  // namespace

// A table of the same episodes by the best of several numbers of candidates; MFPO's own number, 10, gives what eval
// gives.
TEST_CASE("eval by the best of several numbers of candidates") {
  const Folder folder;
  REQUIRE(meander_in(folder, run("mfpo", {"--steps", "201", "--out", "it"})).status == 0);
  const Result alone = meander_in(folder, {"eval", "it", "--episodes", "2"});
  const Result table = meander_in(folder, {"eval", "it", "--episodes", "2", "--candidates", "1,2,10"});
  REQUIRE_MESSAGE(table.status == 0, table.error);
  std::istringstream lines(table.out);
  std::string line, one, trained;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string candidates, value;
    words >> candidates >> value;
    if (candidates == "1") one = value;
    if (candidates == "10") trained = value;
  }
  CHECK(!one.empty());
  REQUIRE(!trained.empty());
  CHECK(trained != one);
  CHECK(alone.out.find("mean " + trained) != std::string::npos);
  REQUIRE(meander_in(folder, run("sac", {"--steps", "201", "--out", "gaussian"})).status == 0);
  const Result none = meander_in(folder, {"eval", "gaussian", "--candidates", "4"});
  CHECK(none.status == 2);
  CHECK(none.error.find("no scores to choose among candidates") != std::string::npos);
}

TEST_CASE("every algorithm trains, goes on with the same bits, and is evaluated") {
  const Folder folder;
  for (const std::string algorithm : algorithms) {
    CAPTURE(algorithm);
    const std::string whole = algorithm + "-whole", halves = algorithm + "-halves";
    // 201 and 252 are multiples of the three environments of som's run; evaluations come every hundred steps.
    const Result result = meander_in(folder, run(algorithm, {"--steps", "252", "--out", whole}));
    CHECK_MESSAGE(result.status == 0, result.error);
    CHECK(meander_in(folder, run(algorithm, {"--steps", "201", "--out", halves})).status == 0);
    CHECK(meander_in(folder, {"train", "--resume", halves, "--steps", "252", "--quiet"}).status == 0);
    CHECK(last_step(folder.file(whole + "/metrics.csv")) == 252);
    const auto rows = csv(folder.file(whole + "/metrics.csv"));
    CHECK(std::count(rows[0].begin(), rows[0].end(), "critic_loss1") == 1);
    CHECK(std::count(rows[0].begin(), rows[0].end(), "actor_loss") == 1);
    const SafetensorsFile one(folder.file(whole + "/last.safetensors"));
    const SafetensorsFile two(folder.file(halves + "/last.safetensors"));
    for (const auto& [name, tensor] : one.tensors()) {
      if (name.starts_with("training.")) continue;   // an evaluation more at 201, where the first run ended
      const auto size = static_cast<size_t>(tensor.size() * bytes(tensor.dtype));
      CHECK_MESSAGE(std::memcmp(tensor.data, two.at(name).data, size) == 0, name);
    }
    const Result eval = meander_in(folder, {"eval", whole, "--episodes", "1"});
    CHECK(eval.status == 0);
    CHECK(contains(eval.out, "mean"));
    CHECK(meander_in(folder, {"info", whole}).status == 0);
  }
}

// Its chunk of five is executed open loop, as in training; what is recorded fits any algorithm.
TEST_CASE("data recorded with an agent of chunks, and MVP that begins with them") {
  const Folder folder;
  CHECK(meander_in(folder, run("qc", {"--steps", "80", "--out", "qc"})).status == 0);
  const Result collected = meander_in(folder, {"collect", "qc", "--steps", "403", "--out", "data.npz"});
  CHECK_MESSAGE(collected.status == 0, collected.error);
  const DataSet data = read_data_set(folder.file("data.npz"));
  CHECK(data.transitions() == 403);
  CHECK(meander_in(folder, {"collect", "qc", "--steps", "403", "--out", "same.npz"}).status == 0);
  CHECK(read_data_set(folder.file("same.npz")).action == data.action);

  const auto train = [&](const char* out, const char* steps) {
    return meander_in(folder, run("mvp", {"--data", "data.npz", "--set", "offline_steps=100", "--steps", steps, "--out",
                                          out}));
  };
  const Result whole = train("whole", "230");
  CHECK_MESSAGE(whole.status == 0, whole.error);
  CHECK(train("halves", "100").status == 0);   // an evaluation is due there anyway
  fs::remove(folder.file("data.npz"));
  CHECK(meander_in(folder, {"train", "--resume", "halves", "--steps", "230", "--quiet"}).status == 0);
  check_same_tensors(folder.file("whole/last.safetensors"), folder.file("halves/last.safetensors"));

  const Result without = meander_in(folder, run("mvp", {"--set", "offline_steps=10", "--out", "none"}));
  CHECK(without.status == 2);
  CHECK(is_one_line(without.error));
  CHECK(contains(without.error, "offline_steps needs a data set"));
  const Result early = meander_in(folder, run("qc", {"--set", "start_steps=1", "--steps", "20", "--out", "early"}));
  CHECK(early.status == 2);
  CHECK(is_one_line(early.error));
  CHECK(contains(early.error, "start_steps"));
}
