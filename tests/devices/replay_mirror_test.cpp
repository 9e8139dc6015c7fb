#include <meander/algos/replay_mirror.h>

#include <cstring>

#include "../folder.h"
#include "../algos/batches.h"
#include <meander/core/arena.h>
#include <meander/kernels/device.h>
#include "devices.h"

using namespace meander;
using namespace meander::testing;

// The rows on a device are the host's whenever a batch is gathered from them: each case draws the same batch as
// numbers, from the host's memory, and as rows, from the device's.
namespace {

constexpr int S = 3, A = 2;

// A device that copies as late as it may: when it is waited for or when a batch is gathered.
class LateCopies {
 public:
  static const kernels::DeviceKernels& of(const kernels::DeviceKernels& device) {
    static kernels::DeviceKernels late;
    late = device, real() = &device;
    late.copy = [](void* to, const void* from, size_t bytes) { queued().push_back({to, from, bytes}); };
    late.synchronise = [] { finish(), real()->synchronise(); };
    late.replay_batch = [](const kernels::ReplayBatchArguments& p) { finish(), real()->replay_batch(p); };
    return late;
  }

 private:
  struct Copy {
    void* to;
    const void* from;
    size_t bytes;
  };
  static std::vector<Copy>& queued() {
    static std::vector<Copy> copies;
    return copies;
  }
  static const kernels::DeviceKernels*& real() {
    static const kernels::DeviceKernels* device;
    return device;
  }
  static void finish() {
    for (const Copy& c : queued()) real()->copy(c.to, c.from, c.bytes);
    queued().clear();
  }
};

class Mirrored {
 public:
  Mirrored(const kernels::DeviceKernels& device, Replay& replay, int64_t batch, int64_t chunk, int64_t steps)
      : replay(replay), device_(device), mirror_(LateCopies::of(device), replay),
        whole_(empty_batch(batch, S, A, chunk, steps)), named_(empty_batch(batch, S, A, chunk, steps)),
        rows_(static_cast<size_t>(batch * (steps + 1))) {
    for (Tensor* t : from_rows(named_.batch)) t->data = nullptr;
    named_.batch.rows = view(rows_.data(), batch, steps + 1);
  }

  bool sample_ahead(uint64_t number) {
    const bool known = replay.sample_ahead(key(number), whole_.batch);
    CHECK(replay.sample_ahead(key(number), named_.batch) == known);
    if (known) compare();
    return known;
  }
  void sample(uint64_t number) {
    replay.sample(key(number), whole_.batch);
    replay.sample(key(number), named_.batch);
    compare();
  }
  int64_t compared = 0, wrong = 0;   // batches
  Replay& replay;

 private:
  static kernels::RandomKey key(uint64_t number) { return {1, static_cast<uint32_t>(Purpose::test), number}; }
  static std::array<Tensor*, 4> from_rows(Batch& b) { return {&b.state, &b.action, &b.reward, &b.next_state}; }
  static bool same(const Tensor& a, const Tensor& b) {
    return std::memcmp(a.data, b.data, static_cast<size_t>(a.size()) * sizeof(float)) == 0;
  }

  // As an update does: the rows, then the batch from them.
  void compare() {
    const kernels::DeviceScope scope(device_);
    const ArenaScope arena;
    mirror_.refresh();
    Batch there = named_.batch;
    there.rows = placed(there.rows);
    mirror_.gather(there);
    bool equal = same(named_.batch.mask, whole_.batch.mask) && same(named_.batch.valid, whole_.batch.valid);
    const auto got = from_rows(there), want = from_rows(whole_.batch);
    for (size_t i = 0; i < 4; ++i) equal = equal && same(fetched(*got[i]), *want[i]);
    ++compared, wrong += !equal;
  }

  const kernels::DeviceKernels& device_;
  ReplayMirror mirror_;
  Data whole_, named_;
  std::vector<uint32_t> rows_;
};

std::vector<float> observation(int environment, int time) {
  return {static_cast<float>(environment), static_cast<float>(time), static_cast<float>(time % 5) / 8.0f};
}

// Rounds of one step in each environment, with episodes that end truly or by time.
class Steps {
 public:
  explicit Steps(int environments) : environments_(environments) {}
  void begin(Replay& replay) const {
    for (int e = 0; e < environments_; ++e) replay.begin_episode(e, observation(e, 0));
  }
  void append(Replay& replay, int time) const {
    for (int e = 0; e < environments_; ++e) {
      const float action[A] = {1.0f / static_cast<float>(time), static_cast<float>(e) / 4.0f};
      replay.append(e, action, static_cast<float>(10 * time + e), over(e, time) && time % 2, over(e, time),
                    observation(e, time));
    }
  }
  void begin_next(Replay& replay, int time) const {
    for (int e = 0; e < environments_; ++e)
      if (over(e, time)) replay.begin_episode(e, observation(e, 1000 + time));
  }

 private:
  static bool over(int e, int time) { return (time * 7 + e) % 11 == 0; }
  int environments_;
};

}  // namespace

// Protects the order of the training loop: a batch drawn ahead is gathered while the action and the reward of the
// newest rows are still to come, the next one when they have; rings wrap around, several times between two updates too,
// at different times in different environments; chunks and several rewards a draw.
TEST_CASE("a device's rows of a replay are the host's at every update") {
  for (const kernels::DeviceKernels* device : devices())
    for (const int environments : {1, 3})
      for (const int capacity : {15, 60, 250})
        for (const int64_t steps : {1, 3})
          for (const int every : {1, 7, 40}) {
            CAPTURE(device->name);
            CAPTURE(environments);
            CAPTURE(capacity);
            CAPTURE(steps);
            CAPTURE(every);
            Replay replay(environments, capacity, S, A);
            Mirrored mirrored(*device, replay, 6, (steps + 1) / 2, steps);
            const Steps play(environments);
            play.begin(replay);
            for (int time = 1; time <= 120; ++time) {
              const bool update = time > steps && time % every == 0;
              const bool ahead = update && mirrored.sample_ahead(static_cast<uint64_t>(time));
              play.append(replay, time);
              if (update && !ahead) mirrored.sample(static_cast<uint64_t>(time));
              play.begin_next(replay, time);
            }
            CHECK(mirrored.compared >= 110 / every);
            CHECK(mirrored.wrong == 0);
          }
}

// Protects a run that goes on: what the file holds is there, and nothing of what was there before; also if the file's
// replay has as many rows as the one before, or fewer.
TEST_CASE("a device's rows of a replay follow a checkpoint") {
  const Folder folder;
  const Steps play(2);
  for (const kernels::DeviceKernels* device : devices())
    for (const int saved : {20, 50, 90}) {   // of rings of 30 rows
      CAPTURE(device->name);
      CAPTURE(saved);
      Replay first(2, 60, S, A), second(2, 60, S, A);
      play.begin(first), play.begin(second);
      for (int time = 1; time <= saved; ++time) play.append(first, time + 100), play.begin_next(first, time + 100);
      SafetensorsWriter writer;
      first.save(writer);
      writer.write(folder.file("replay"));
      Mirrored mirrored(*device, second, 40, 1, 1);
      for (int time = 1; time <= 50; ++time) {
        play.append(second, time);
        if (time % 10 == 0) mirrored.sample(static_cast<uint64_t>(time));
        play.begin_next(second, time);
      }
      second.load(SafetensorsFile(folder.file("replay")));
      mirrored.sample(1);
      for (int time = saved + 1; time <= saved + 20; ++time) {
        play.append(second, time + 100);
        mirrored.sample(static_cast<uint64_t>(time));
        play.begin_next(second, time + 100);
      }
      CHECK(mirrored.compared == 26);
      CHECK(mirrored.wrong == 0);
    }
}

// Protects what is sent in several pieces, as a data set or the steps before the first update are: more rows than the
// memory from which the device copies holds.
TEST_CASE("a device's rows of a replay hold a data set") {
  DataSet data;
  data.observations = S, data.actions = A;
  for (int row = 0; row < 3000; ++row) {
    const auto x = observation(0, row);
    data.observation.insert(data.observation.end(), x.begin(), x.end());
    data.action.insert(data.action.end(), {static_cast<float>(row) / 4096.0f, -0.5f});
    data.reward.push_back(static_cast<float>(row));
    data.mask.push_back(row % 9 ? 1.0f : 0.0f);
    data.terminal.push_back(row % 50 == 49);
  }
  const Steps play(2);
  for (const kernels::DeviceKernels* device : devices())
    for (const int64_t capacity : {6000, 12000}) {
      CAPTURE(device->name);
      CAPTURE(capacity);
      Replay replay(2, capacity, S, A);
      Mirrored mirrored(*device, replay, 200, 2, 2);
      replay.append(data);
      play.begin(replay);
      for (int time = 1; time <= 10; ++time) {
        mirrored.sample(static_cast<uint64_t>(time));
        play.append(replay, time);
        play.begin_next(replay, time);
      }
      CHECK(mirrored.compared == 10);
      CHECK(mirrored.wrong == 0);
    }
}

// Protects the steady state: rows are sent once, three of an environment at most, and nobody waits.
TEST_CASE("what is sent of a replay is what was written") {
  Replay replay(2, 40, S, A);   // rings of 21 rows
  replay.begin_copy();
  const auto sent = [&](int64_t most = 100) {
    std::vector<std::pair<int64_t, int64_t>> stretches;
    for (auto rows = replay.take_written(most); rows.count; rows = replay.take_written(most))
      stretches.emplace_back(rows.first, rows.count);
    return stretches;
  };
  using Stretches = std::vector<std::pair<int64_t, int64_t>>;
  const auto step = [&](int environment, bool over = false) {
    const float action[A] = {0.5f, 0.5f};
    replay.append(environment, action, 1, false, over, observation(environment, 1));
    if (over) replay.begin_episode(environment, observation(environment, 0));
  };
  CHECK(sent().empty());
  for (int e : {0, 1}) replay.begin_episode(e, observation(e, 0));
  CHECK(sent() == Stretches{{0, 1}, {21, 1}});
  CHECK(sent().empty());
  step(0);
  CHECK(sent() == Stretches{{0, 2}});              // with its action now, and the next
  step(0), step(1, true);
  CHECK(sent() == Stretches{{1, 2}, {21, 3}});
  for (int i = 0; i < 18; ++i) step(0);
  CHECK(sent(10) == Stretches{{2, 10}, {12, 9}});  // to the ring's end
  step(0);
  CHECK(sent() == Stretches{{20, 1}, {0, 1}});
  for (int i = 0; i < 50; ++i) step(0);
  CHECK(sent() == Stretches{{9, 12}, {0, 9}});     // each row once, though written more than twice
  CHECK(sent().empty());
}
