// Protects data sets of D4RL's layout: no transition is chained across an episode's end, none with a known successor is
// lost, and true ends stay true ends.
#include <meander/app/data_layouts.h>

#include <doctest/doctest.h>

#include <vector>

#include "../folder.h"
#include <meander/app/data_files.h>
#include <meander/app/npz_file.h>
#include <meander/kernels/error.h>

using namespace meander;

namespace {

// Five steps, observations 10, 20, 30, 40, 50: the first two an episode cut by a time limit at 25, the next two one
// that truly ends in 45, the last one is still going on, to 60.
struct Steps {
  std::vector<float> observations = {10, 20, 30, 40, 50}, next = {20, 25, 40, 45, 60},
                     actions = {.1f, .2f, .3f, .4f, .5f}, rewards = {1, 2, 3, 4, 5};
  std::vector<uint8_t> terminals = {0, 0, 0, 1, 0}, timeouts = {0, 1, 0, 0, 0};
  std::vector<float> masks;
  bool with_next = true, with_timeouts = true;

  DataFile read() const {
    const Folder folder;
    NpzWriter file;
    const auto n = std::ssize(observations);
    file.add("observations", {n, 1}, observations.data());
    if (with_next) file.add("next_observations", {n, 1}, next.data());
    file.add("actions", {n, 1}, actions.data());
    file.add("rewards", {n}, rewards.data());
    file.add_bool("terminals", {n}, terminals.data());
    if (with_timeouts) file.add_bool("timeouts", {n}, timeouts.data());
    if (!masks.empty()) file.add("masks", {n}, masks.data());
    file.write(folder.file("data.npz"));
    return read_data_file(folder.file("data.npz"));
  }
};

using Floats = std::vector<float>;
using Flags = std::vector<uint8_t>;

}  // namespace

TEST_CASE("steps with their successors lose nothing") {
  const DataFile file = Steps().read();
  CHECK(file.data.observation == Floats{10, 20, 25, 30, 40, 45, 50, 60});
  CHECK(file.data.action == Floats{.1f, .2f, 0, .3f, .4f, 0, .5f, 0});
  CHECK(file.data.reward == Floats{1, 2, 0, 3, 4, 0, 5, 0});
  CHECK(file.data.mask == Floats{1, 1, 1, 1, 0, 1, 1, 1});
  CHECK(file.data.terminal == Flags{0, 0, 1, 0, 0, 1, 0, 1});
  CHECK(file.remarks.empty());
}

// What followed is kept while the file is read once, or where ends are many read again.
TEST_CASE("few and many ends get what followed") {
  for (const int every : {100, 2}) {
    Steps steps;
    steps.observations.clear(), steps.next.clear(), steps.timeouts.clear();
    for (int i = 0; i < 10'000; ++i) {
      const bool end = i % every == every - 1;
      steps.observations.push_back(static_cast<float>(i));
      steps.next.push_back(static_cast<float>(end ? -i : i + 1));
      steps.timeouts.push_back(end);
    }
    steps.actions.assign(10'000, 0.5f), steps.rewards.assign(10'000, 1), steps.terminals.assign(10'000, 0);
    const DataSet data = steps.read().data;
    REQUIRE(data.rows() == 10'000 + 10'000 / every);
    for (int64_t i = 0, row = 0; i < 10'000; ++i) {
      CHECK(data.observation[row++] == static_cast<float>(i));
      if (i % every == every - 1) CHECK(data.observation[row++] == static_cast<float>(-i));
    }
  }
}

TEST_CASE("without successors cut steps are dropped, and beyond a true end stands the state itself") {
  Steps steps;
  steps.with_next = false;
  const DataFile file = steps.read();
  CHECK(file.data.observation == Floats{10, 20, 30, 40, 40, 50});
  CHECK(file.data.reward == Floats{1, 2, 3, 4, 0, 5});
  CHECK(file.data.mask == Floats{1, 1, 1, 0, 1, 1});
  CHECK(file.data.terminal == Flags{0, 1, 0, 0, 1, 1});
  REQUIRE(file.remarks.size() == 1);
  CHECK(file.remarks[0].starts_with("2 steps are dropped"));
}

TEST_CASE("without timeouts an episode ends where the next row is not what followed") {
  Steps steps;
  steps.with_timeouts = false;
  const DataFile file = steps.read();
  CHECK(file.data.observation == Floats{10, 20, 25, 30, 40, 45, 50, 60});
  CHECK(file.data.terminal == Flags{0, 0, 1, 0, 0, 1, 0, 1});
  REQUIRE(file.remarks.size() == 1);
  CHECK(file.remarks[0].starts_with("next_observations: 1 that are marked as no end"));
}

TEST_CASE("timeouts and successors that contradict each other are told") {
  Steps steps;
  steps.next[1] = 30;  // the row after the time limit is what followed
  DataFile file = steps.read();
  CHECK(file.data.observation == Floats{10, 20, 30, 30, 40, 45, 50, 60});
  REQUIRE(file.remarks.size() == 1);
  CHECK(file.remarks[0].starts_with("timeouts: 1 of them"));

  steps = Steps();
  steps.next = {11, 21, 31, 41, 51};  // no row is followed by its successor
  file = steps.read();
  CHECK(file.data.observation == Floats{10, 20, 21, 30, 40, 41, 50, 51});
  REQUIRE(file.remarks.size() == 1);
  CHECK(file.remarks[0].starts_with("next_observations: 2 of 2 that end no episode"));
}

TEST_CASE("masks say which ends are true; beside timeouts alone the layout is not known") {
  Steps steps;
  steps.masks = {1, 1, 1, 1, 0};
  CHECK(steps.read().data.mask == Floats{1, 1, 1, 1, 1, 1, 0, 1});
  steps.with_next = false;
  CHECK_THROWS_WITH_AS(steps.read(), doctest::Contains("leave out timeouts"), Error);
}

TEST_CASE("valids say where the episodes end that OGBench's loader marked twice") {
  const Folder folder;
  const Floats observations = {10, 20, 30, 40, 50}, valids = {1, 1, 0, 1, 0}, rewards(5), terminals = {0, 1, 1, 1, 1};
  NpzWriter writer;
  writer.add("observations", {5, 1}, observations.data());
  writer.add("actions", {5, 1}, rewards.data());
  writer.add("rewards", {5}, rewards.data());
  writer.add("terminals", {5}, terminals.data());
  writer.add("valids", {5}, valids.data());
  writer.write(folder.file("data.npz"));
  CHECK(read_data_set(folder.file("data.npz")).terminal == Flags{0, 0, 1, 0, 1});
}
