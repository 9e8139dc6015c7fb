#include <meander/algos/replay.h>

#include <doctest/doctest.h>

#include <cmath>
#include <map>

#include "../folder.h"
#include <meander/kernels/error.h>
#include "fakes.h"

using namespace meander;

namespace {

constexpr int S = 3, A = 2;

struct Rows {
  explicit Rows(int64_t n, int64_t steps = 1, int64_t chunk = 1)
      : memory(static_cast<size_t>(n * (2 * S + chunk * A + 2 * steps + 1))) {
    float* next = memory.data();
    const auto take = [&](int64_t cols) {
      const Tensor t = view(next, n, cols);
      next += n * cols;
      return t;
    };
    batch = {take(S), take(chunk * A), take(steps), take(1), take(S), take(steps)};
  }
  std::vector<float> memory;
  Batch batch;
};

// Writes episodes whose observations say where they belong: (environment, episode, time).
class Writer {
 public:
  Writer(Replay& replay, int environment) : replay_(replay), environment_(environment) {}
  void episode(int length, bool terminated, bool finish = true) {
    ++episode_;
    const auto observation = [&](int t) { return std::vector<float>{float(environment_), float(episode_), float(t)}; };
    replay_.begin_episode(environment_, observation(0));
    for (int t = 0; t < length; ++t) {
      const bool over = finish && t == length - 1;
      const float action[A] = {t / 1024.0f, -episode_ / 1024.0f};
      replay_.append(environment_, action, 100.0f * episode_ + t, over && terminated, over, observation(t + 1));
      last_time[{environment_, episode_}] = over && terminated ? t : -1;
    }
  }
  std::map<std::pair<int, int>, int> last_time;  // of the masked transition, -1: none

 private:
  Replay& replay_;
  int environment_, episode_ = 0;
};

// Draws n rows, checks that each is one of the transitions written, and returns how often each came.
std::map<std::vector<float>, int64_t> drawn(Replay& replay, std::vector<Writer*> writers, int64_t n) {
  Rows rows(n);
  replay.sample({1, static_cast<uint32_t>(Purpose::test), 5}, rows.batch);
  std::map<std::vector<float>, int64_t> counts;
  bool right = true;
  for (int64_t i = 0; i < n; ++i) {
    const float* s = rows.batch.state.f32() + i * S;
    const float* next = rows.batch.next_state.f32() + i * S;
    const float* a = rows.batch.action.f32() + i * A;
    const int last = writers.at(int(s[0]))->last_time.at({int(s[0]), int(s[1])});
    right = right && next[0] == s[0] && next[1] == s[1] && next[2] == s[2] + 1;  // same episode, the next moment
    right = right && a[0] == s[2] / 1024 && a[1] == -s[1] / 1024;
    right = right && rows.batch.reward.f32()[i] == 100 * s[1] + s[2];
    right = right && rows.batch.mask.f32()[i] == (s[2] == last ? 0.0f : 1.0f);
    ++counts[{s, s + S}];
  }
  CHECK(right);
  return counts;
}

}  // namespace

// s' of the last transition is the episode's own final observation, which is never drawn as s, whatever ended it.
TEST_CASE("a truncated, a terminated and an unfinished episode") {
  Replay replay(1, 100, S, A);
  Writer writer(replay, 0);
  writer.episode(5, false);
  writer.episode(4, true);
  writer.episode(1, true);
  writer.episode(3, false, false);
  CHECK(replay.size() == 13);
  CHECK(drawn(replay, {&writer}, 2000).size() == 13);
}

// When the ring is full the oldest transitions go, and nothing is paired with what overwrote its next row.
TEST_CASE("a wrapped ring") {
  for (int capacity : {1, 2, 7, 12, 250}) {
    CAPTURE(capacity);
    Replay replay(1, capacity, S, A);
    Writer writer(replay, 0);
    for (int episode = 0; episode < 60; ++episode) {
      writer.episode(1 + episode % 9, episode % 2 == 0);
      REQUIRE(replay.size() <= capacity + capacity / 200);
      if (replay.size() > 0) {
        const auto counts = drawn(replay, {&writer}, 16 * capacity + 16);
        const int newest = episode + 1;
        for (const auto& [s, n] : counts) CHECK(s[1] > newest - capacity - 1);
      }
    }
  }
}

// One endless episode fills the ring to its capacity exactly: no transition is lost to bookkeeping.
TEST_CASE("capacity counts transitions") {
  Replay replay(1, 50, S, A);
  Writer writer(replay, 0);
  writer.episode(500, false, false);
  CHECK(replay.size() == 50);
  const auto counts = drawn(replay, {&writer}, 5000);
  CHECK(counts.size() == 50);
  CHECK(counts.begin()->first[2] == 450);  // the newest fifty
}

// s' never comes from another environment, although they write alternately and wrap at different times.
TEST_CASE("five environments share the capacity") {
  Replay replay(5, 100, S, A);
  std::vector<Writer> writers;
  for (int e = 0; e < 5; ++e) writers.emplace_back(replay, e);
  std::vector<Writer*> all;
  for (Writer& w : writers) all.push_back(&w);
  for (int round = 0; round < 6; ++round)
    for (int e = 0; e < 5; ++e) writers[e].episode(3 + e, (round + e) % 2 == 0);
  // Rings of 21 rows. In environments 0 to 2 that is more than, in the others less than what was written; an episode
  // of n transitions takes n + 1 rows.
  const auto counts = drawn(replay, all, 20000);
  std::map<float, int> transitions;
  for (const auto& [s, n] : counts) ++transitions[s[0]];
  CHECK(transitions.size() == 5);
  CHECK(static_cast<int64_t>(counts.size()) == replay.size());
  for (const auto& [environment, n] : transitions) CHECK(n <= 20);
}

// Uniform over all transitions of all environments, however unequally they are filled.
TEST_CASE("sampling is uniform") {
  Replay replay(2, 400, S, A);
  Writer first(replay, 0), second(replay, 1);
  for (int i = 0; i < 4; ++i) first.episode(3, i % 2);
  second.episode(52, false);
  REQUIRE(replay.size() == 64);
  const int64_t n = 64'000;
  const auto counts = drawn(replay, {&first, &second}, n);
  REQUIRE(counts.size() == 64);
  double chi_square = 0;
  for (const auto& [s, count] : counts) chi_square += (count - 1000.0) * (count - 1000.0) / 1000.0;
  CHECK(chi_square < 63 + 5 * std::sqrt(2 * 63.0));  // 63 degrees of freedom, mean 63; five standard deviations
}

// The draw depends on the key and the contents alone: resume relies on it.
TEST_CASE("the key names the batch") {
  Replay replay(1, 100, S, A);
  Writer writer(replay, 0);
  writer.episode(60, false);
  Rows one(32), same(32), other(32);
  replay.sample({1, 2, 3}, one.batch);
  replay.sample({1, 2, 4}, other.batch);
  replay.sample({1, 2, 3}, same.batch);
  CHECK(one.memory == same.memory);
  CHECK(one.memory != other.memory);
}

// What will be drawn after the next appends is known before them, unless one of the new transitions itself is drawn; also
// when an append displaces the oldest transition, when episodes end, among several environments, and of several steps.
TEST_CASE("a batch drawn ahead is the batch drawn after") {
  for (int environments : {1, 3})
    for (int capacity : {15, 20, 60, 250})
      for (int64_t steps : {1, 3}) {
        CAPTURE(environments);
        CAPTURE(capacity);
        CAPTURE(steps);
        Replay replay(environments, capacity, S, A);
        int known = 0, waited = 0, wrong = 0;
        const auto observation = [](int e, int time) {
          return std::vector<float>(S, static_cast<float>(100 * e) + static_cast<float>(time) / 64.0f);
        };
        for (int e = 0; e < environments; ++e) replay.begin_episode(e, observation(e, 0));
        for (int time = 1; time < 300; ++time) {
          const kernels::RandomKey key = {1, 2, static_cast<uint64_t>(time)};
          Rows ahead(4, steps), after(4, steps);
          ahead.memory.assign(ahead.memory.size(), -1);
          const bool possible = time > steps;
          const bool is_known = possible && replay.sample_ahead(key, ahead.batch);
          const float reward = static_cast<float>(time);
          const auto over = [&](int e) { return (time * 7 + e) % 11 == 0; };
          for (int e = 0; e < environments; ++e) {
            const float action[A] = {0.5f, 0.25f};
            replay.append(e, action, reward, over(e) && time % 2, over(e), observation(e, time));
          }
          if (!possible) continue;
          replay.sample(key, after.batch);
          bool newest_drawn = false;
          for (int64_t i = 0; i < 4 * steps; ++i) newest_drawn = newest_drawn || after.batch.reward.f32()[i] == reward;
          if (is_known) wrong += newest_drawn || ahead.memory != after.memory;
          else wrong += !newest_drawn || ahead.memory != std::vector<float>(ahead.memory.size(), -1);
          ++(is_known ? known : waited);
          for (int e = 0; e < environments; ++e)
            if (over(e)) replay.begin_episode(e, observation(e, time));
        }
        CHECK(wrong == 0);
        CHECK(known > 0);
        CHECK(waited > 0);
      }
}

// Steps that follow each other in the ring, across the end of an episode too: what came after it is there but invalid;
// an episode that ends on the last step leaves all of them valid. Success (a true end after which the recording goes on)
// clears the mask alone.
TEST_CASE("several steps of one draw") {
  Replay replay(1, 100, S, A);
  const auto observation = [](int i) { return std::vector<float>(S, static_cast<float>(i)); };
  // Transitions 0 to 8: 2 ends truly, 5 is cut off by a time limit, 7 succeeds and goes on.
  int row = 0;
  replay.begin_episode(0, observation(row));
  for (int i = 0; i < 9; ++i) {
    const float action[A] = {i / 10.0f, -i / 10.0f};
    const bool over = i == 2 || i == 5;
    replay.append(0, action, static_cast<float>(i), i == 2 || i == 7, over, observation(++row));
    if (over) replay.begin_episode(0, observation(++row));
  }
  Rows rows(4000, 3, 2);
  replay.sample({1, 2, 3}, rows.batch);
  // By the first step: mask, valid of the second and third step.
  const float expected[7][3] = {{0, 1, 1}, {0, 1, 0}, {0, 0, 0}, {1, 1, 1}, {1, 1, 0}, {0, 0, 0}, {0, 1, 1}};
  const float state[7] = {0, 1, 2, 4, 5, 6, 8}, next[7] = {3, 5, 6, 7, 9, 10, 11};
  int seen[7] = {};
  bool right = true;
  for (int64_t i = 0; i < 4000; ++i) {
    const float* reward = rows.batch.reward.f32() + 3 * i;
    const int first = static_cast<int>(reward[0]);
    REQUIRE(first < 7);  // the last two have no two steps after them
    ++seen[first];
    const float* valid = rows.batch.valid.f32() + 3 * i;
    const float* action = rows.batch.action.f32() + 2 * A * i;
    right = right && reward[1] == first + 1 && reward[2] == first + 2 && valid[0] == 1;
    right = right && action[0] == first / 10.0f && action[A] == (first + 1) / 10.0f && action[A + 1] == -action[A];
    right = right && rows.batch.mask.f32()[i] == expected[first][0] && valid[1] == expected[first][1] &&
            valid[2] == expected[first][2];
    right = right && rows.batch.state.f32()[i * S] == state[first] && rows.batch.next_state.f32()[i * S] == next[first];
  }
  CHECK(right);
  for (const int n : seen) CHECK(n > 400);  // of 571 expected
}

// The file's rows and the ring's are the same, so what is drawn from the one is in the other.
TEST_CASE("a data set in the replay") {
  DataSet data;
  data.observations = S, data.actions = A;
  for (int row = 0; row < 12; ++row) {
    data.observation.insert(data.observation.end(), S, static_cast<float>(row));
    data.action.insert(data.action.end(), A, row / 100.0f);
    data.reward.push_back(static_cast<float>(row));
    data.mask.push_back(row == 3 ? 0.0f : 1.0f);
    data.terminal.push_back(row == 4 || row == 11);
  }
  data.check("the data");
  CHECK(data.transitions() == 10);
  CHECK(data.episode_returns() == std::vector<double>{0 + 1 + 2 + 3, 5 + 6 + 7 + 8 + 9 + 10});
  Replay replay(1, 20, S, A);
  replay.append(data);
  CHECK(replay.size() == 10);
  Rows rows(1000);
  replay.sample({1, 2, 3}, rows.batch);
  bool right = true;
  for (int i = 0; i < 1000; ++i) {
    const float row = rows.batch.state.f32()[i * S];
    right = right && row != 4 && row != 11 && rows.batch.next_state.f32()[i * S] == row + 1;
    right = right && rows.batch.reward.f32()[i] == row && rows.batch.action.f32()[i * A] == row / 100.0f;
    right = right && rows.batch.mask.f32()[i] == (row == 3 ? 0.0f : 1.0f);
  }
  CHECK(right);
  Replay small(1, 8, S, A), other(1, 20, S + 1, A);
  CHECK_THROWS_WITH_AS(small.append(data), doctest::Contains("12 rows"), Error);
  CHECK_THROWS_AS(other.append(data), Error);
  data.reward[7] = std::nanf("");
  CHECK_THROWS_WITH_AS(data.check("the data"), "the data: rewards holds a number that is not finite, in row 7", Error);
  data.reward.pop_back();
  CHECK_THROWS_WITH_AS(data.check("the data"), doctest::Contains("rewards holds 11 numbers, 12 are needed"), Error);
}

TEST_CASE("save and load give the same replay") {
  Folder folder;
  for (int episodes : {0, 1, 3, 40}) {  // empty, part of a ring, wrapped
    CAPTURE(episodes);
    Replay replay(2, 60, S, A);
    Writer first(replay, 0), second(replay, 1);
    for (int i = 0; i < episodes; ++i) first.episode(4 + i % 3, i % 2);
    if (episodes) second.episode(2, false, false);
    SafetensorsWriter writer;
    replay.save(writer);
    writer.write(folder.file("replay"));

    Replay loaded(2, 60, S, A);
    Writer(loaded, 0).episode(9, false);  // what was there before is gone
    loaded.load(SafetensorsFile(folder.file("replay")));
    CHECK(loaded.size() == replay.size());
    if (!episodes) continue;
    const float s[S] = {1, 1, 3}, a[A] = {0.5f, -1};
    for (Replay* r : {&replay, &loaded}) r->append(1, a, 102, false, false, s);  // goes on where it was
    Rows before(64), after(64);
    replay.sample({1, 2, 3}, before.batch);
    loaded.sample({1, 2, 3}, after.batch);
    CHECK(before.memory == after.memory);
  }
}

// A checkpoint of another size, or one whose marks are damaged, is refused instead of read across an episode's end.
TEST_CASE("a replay that does not fit is refused") {
  Folder folder;
  Replay replay(1, 60, S, A);
  Writer(replay, 0).episode(5, false);
  SafetensorsWriter writer;
  replay.save(writer);
  writer.write(folder.file("replay"));
  const SafetensorsFile file(folder.file("replay"));
  Replay smaller(1, 59, S, A), wider(1, 60, S + 1, A);
  CHECK_THROWS_AS(smaller.load(file), Error);
  CHECK_THROWS_AS(wider.load(file), Error);

  SafetensorsWriter damaged;
  const uint8_t follows[3] = {1, 1, 1};  // the head cannot have a next row
  const std::vector<float> zeros(9);
  damaged.metadata("replay.rows", "61");
  damaged.metadata("replay.0.written", "3");
  damaged.add("replay.0.observations", {3, S}, zeros.data());
  damaged.add("replay.0.actions", {3, A}, zeros.data());
  damaged.add("replay.0.rewards", {3}, zeros.data());
  damaged.add("replay.0.follows", {3}, follows);
  damaged.write(folder.file("damaged"));
  CHECK_THROWS_AS(replay.load(SafetensorsFile(folder.file("damaged"))), Error);
}

TEST_CASE("an empty replay and senseless sizes are errors") {
  Replay replay(1, 10, S, A);
  Rows rows(4);
  CHECK_THROWS_AS(replay.sample({1, 2, 3}, rows.batch), Error);
  CHECK_THROWS_AS(Replay(5, 4, S, A), Error);
  CHECK_THROWS_AS(Replay(1, 0, S, A), Error);
}

// Each observation is stored once: twice would be 3.1 GB.
TEST_CASE("a million Humanoid transitions need less than 1.6 GB, reserved and not touched") {
  const Replay replay(1, 1'000'000, 376, 17);
  CHECK(replay.bytes() < 1'600'000'000);
  // Observation, action, reward and what follows of each row, and the number of each transition's row.
  CHECK(replay.bytes() >= static_cast<size_t>(replay.rows()) * ((376 + 17 + 1) * 4 + 1) + 1'000'000 * 4);
}
