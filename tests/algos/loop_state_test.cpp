// Protects that no number of a checkpoint is believed: whatever it is, reading the file says so; nothing runs on it.

#include <meander/algos/training.h>

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>

#include <meander/kernels/error.h>
#include "../altered.h"
#include "../folder.h"
#include "runs.h"

using namespace meander;
using namespace meander::fakes;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();

// A checkpoint of 210 steps of two environments, and what reading it says after a change.
struct Saved {
  Saved() {
    TrainingSettings s = settings();
    s.steps = 210;
    Learner learner;
    Line line[2], evaluation_line;
    Training training(s, learner, {&line[0], &line[1]}, {&evaluation_line});
    Recorder recorder;
    recorder.training = &training, recorder.path = folder.file("whole");
    training.run(recorder);
  }
  static TrainingSettings settings() {
    TrainingSettings s = small();
    s.environments = 2;
    return s;
  }
  std::string refusal(const std::function<void(Altered&)>& change) const {
    Altered file(folder.file("whole"));
    change(file);
    file.write(folder.file("changed"));
    Learner learner;
    Line line[2], evaluation_line;
    Training training(settings(), learner, {&line[0], &line[1]}, {&evaluation_line});
    try {
      training.load(SafetensorsFile(folder.file("changed")));
      return "";
    } catch (const Error& error) {
      return error.what();
    }
  }
  std::string with(const char* tensor, size_t index, double value) const {
    return refusal([&](Altered& file) { file.values<double>(tensor)[index] = value; });
  }
  Folder folder;
};

bool says(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("each counter of a checkpoint is held against the run") {
  const Saved saved;
  CHECK(saved.refusal([](Altered&) {}) == "");
  const char* const names[] = {"steps", "updates", "episodes", "last evaluation", "best return",
                               "since the last report", "evaluations to do"};
  for (size_t i = 0; i < std::size(names); ++i)
    for (const double value : {not_a_number, inf, -1e300, -3.0, 210.5, 1e18, 1e300}) {
      if (i == 4 && (value == -1e300 || std::abs(value) < 1e19 || value == 1e300)) continue;  // a return may be that
      CAPTURE(value);
      CHECK_MESSAGE(says(saved.with("training.counters", i, value), names[i]), names[i]);
    }
  CHECK(saved.with("training.counters", 4, -inf) == "");  // before the first evaluation
  for (const size_t i : {7u, 9u})
    for (const double value : {not_a_number, inf, -3.0, 58.0})  // of 56 updates
      CHECK(says(saved.with("training.counters", i, value), "clipped mass"));
  CHECK(says(saved.with("training.counters", 0, 208), "updates"));     // another step than the updates belong to
  CHECK(says(saved.with("training.counters", 2, 9), "rows in the replay"));
  CHECK(says(saved.refusal([](Altered& file) { file.metadata["step"] = "209"; }), "metadata step"));
}

TEST_CASE("where an environment stands is checked, too") {
  const Saved saved;
  for (const double value : {not_a_number, inf})
    CHECK(says(saved.with("training.worlds", 0, value), "environment 0: the return"));
  for (const double value : {not_a_number, inf, -5.0, 0.5, 2.0, 1000.0, 1e300, -2147483648.0})
    CHECK(says(saved.with("training.worlds", 3, value), "environment 1: the number of actions left"));
  for (const float value : {NAN, 1e30f, -1.01f})
    CHECK(says(saved.refusal([&](Altered& file) { file.values<float>("training.queues")[1] = value; }),
               "training.queues"));
}

TEST_CASE("a replay that cannot be is refused") {
  const Saved saved;
  const auto written = [&](const std::string& text) {
    return saved.refusal([&](Altered& file) { file.metadata["replay.0.written"] = text; });
  };
  // Those that leave the tensors' sizes right, and those that no run reaches.
  for (const char* text : {"9223372036854775807", "9007199254740992", "9223372036854775808", "-1", "0", "1e3", "nan",
                           "", "116x", "200"})
    CHECK_MESSAGE(written(text) != "", text);
  for (const char* tensor : {"observations", "actions", "rewards"})
    CHECK(says(saved.refusal([&](Altered& file) { file.values<float>(message("replay.1.", tensor))[2] = INFINITY; }),
               message("replay.1.", tensor)));
  for (const float value : {1e30f, -1.01f, NAN})
    CHECK(says(saved.refusal([&](Altered& file) { file.values<float>("replay.1.actions")[2] = value; }),
               "replay.1.actions"));
  // What follows a row: marks that are none, and those that no order of steps leaves.
  const auto follows = [&](const std::function<void(std::span<uint8_t>)>& change) {
    return saved.refusal([&](Altered& file) { change(file.values<uint8_t>("replay.0.follows")); });
  };
  CHECK(says(follows([](auto rows) { rows[0] = 9; }), "replay.0.follows"));
  CHECK(says(follows([](auto rows) { std::ranges::fill(rows, 0); }), "replay.0.follows"));  // no transition at all
  const auto second_of_two = [](std::span<uint8_t> rows) {  // steps after which the episode goes on
    return std::ranges::adjacent_find(rows, [](int a, int b) { return a == 1 && b == 1; }) + 1;
  };
  CHECK(says(follows([&](auto rows) { *second_of_two(rows) = 0; }), "replay.0.follows"));    // ends without an end
  CHECK(says(follows([&](auto rows) { second_of_two(rows)[-1] = 2; }), "replay.0.follows"));  // goes on after its end
}

// Reading alone, as it is done before anything is built.
TEST_CASE("the state of the loop is read without a loop") {
  const Saved saved;
  const SafetensorsFile file(saved.folder.file("whole"));
  const LoopState state = read_loop_state(file, Saved::settings(), 2, 1, 1);
  CHECK(state.counters.step == 210);
  CHECK(state.counters.updates == 56);  // of rounds 50 to 105
  CHECK(state.worlds.size() == 2);
  CHECK_THROWS_AS(read_loop_state(file, Saved::settings(), 3, 1, 1), Error);
  CHECK_THROWS_AS(read_loop_state(file, Saved::settings(), 2, 5, 1), Error);
  TrainingSettings other = Saved::settings();
  other.start_steps = 120;
  CHECK_THROWS_AS(read_loop_state(file, other, 2, 1, 1), Error);
}
