#include "algos/device_agent.h"

#include <deque>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>

#include "../folder.h"
#include "algos/settings.h"
#include "batches.h"
#include "devices.h"
#include "runs.h"

using namespace meander;
using namespace meander::testing;

namespace {

constexpr int S = 3, A = 2, rows = 8;

// A very small one of each: the emulator's threads take their time.
std::unique_ptr<AlgorithmSettings> small(const std::string& name) {
  auto settings = make_algorithm(name);
  const std::map<std::string, double> numbers = {
      {"batch_size", rows}, {"actor_width", 16}, {"critic_width", 16}, {"width", 16}, {"actor_layers", 1},
      {"critic_layers", 1}, {"layers", 1}, {"policy_proposals", 2}, {"gaussian_proposals", 2}, {"atoms", 11},
      {"v_min", -5}, {"v_max", 5}, {"proposals", 3}, {"candidates", 2}, {"evaluation_candidates", 2}, {"horizon", 2},
      {"noise_interval", 2}, {"sampling_steps", 2}};
  for (const Setting& s : settings->settings()) {
    if (!numbers.count(s.key)) continue;
    if (auto* const* integer = std::get_if<int64_t*>(&s.value)) **integer = static_cast<int64_t>(numbers.at(s.key));
    if (auto* const* real = std::get_if<double*>(&s.value)) **real = numbers.at(s.key);
  }
  return settings;
}

}  // namespace

// Protects that an algorithm on a device is the same algorithm: five updates (the first done at once, the second
// recorded, the rest repeated from the record) with acting between them, against the CPU. Adam's first steps have the
// size of the learning rate whatever the gradient, so what rounding decides is bounded by them, 5 x 3e-4 and a little.
TEST_CASE("an agent on a device learns and acts as on the CPU") {
  for (const kernels::DeviceKernels* device : devices())
    for (const std::string name : {"mfpo", "som", "mvp", "sac", "qc"}) {
      CAPTURE(device->name);
      CAPTURE(name);
      const auto settings = small(name);
      const auto make = [&] { return settings->make_agent(S, A, 3); };
      const auto here = make();
      DeviceAgent there(*device, make);
      const std::vector<float> state{0.1f, -0.5f, 0.9f};
      for (uint64_t u = 1; u <= 5; ++u) {
        const Data data = random_batch(rows, S, A, 100 + u, here->chunk(), here->return_steps());
        const std::vector<float> mine = update(*here, data.batch, u), theirs = update(there, data.batch, u);
        for (size_t i = 0; i < mine.size(); ++i) {
          CAPTURE(here->metric_names()[i]);
          CAPTURE(u);
          CHECK(theirs[i] == doctest::Approx(mine[i]).epsilon(2e-3));
        }
        std::vector<float> a(static_cast<size_t>(here->chunk() * A)), b = a;
        here->explore(state, u, a), there.explore(state, u, b);
        for (size_t i = 0; i < a.size(); ++i) CHECK(b[i] == doctest::Approx(a[i]).epsilon(1e-2));
        here->act(state, u, a), there.act(state, u, b);
        for (size_t i = 0; i < a.size(); ++i) CHECK(b[i] == doctest::Approx(a[i]).epsilon(1e-2));
      }
    }
}

// Protects the last good parameters: a loss that is not finite is named, and nothing has learnt from it.
TEST_CASE("a loss that is not finite stops a device's update") {
  const auto settings = small("mfpo");
  const auto make = [&] { return settings->make_agent(S, A, 3); };
  for (const kernels::DeviceKernels* device : devices()) {
    DeviceAgent agent(*device, make);
    std::vector<float> metrics(agent.metric_names().size()), before(A), after(A);
    const std::vector<float> state{0.1f, -0.5f, 0.9f};
    for (uint64_t u = 1; u <= 4; ++u) {
      Data data = random_batch(rows, S, A, u);
      if (u != 2 && u != 4) {   // done at once, and repeated
        agent.update(data.batch, u, metrics);
        continue;
      }
      data.batch.state.f32()[3] = NAN;
      agent.explore(state, 1, before);
      CHECK_THROWS_WITH_AS(agent.update(data.batch, u, metrics), doctest::Contains("critic_loss1"), Failure);
      agent.explore(state, 1, after);
      CHECK(before == after);
    }
  }
}

// ---- batches gathered on the device ---------------------------------------------------------------------------------
namespace {

// A device to be changed; it stays to the end, as this thread's arena of it does.
kernels::DeviceKernels& copy_of(const kernels::DeviceKernels& device) {
  static std::deque<kernels::DeviceKernels> copies;
  return copies.emplace_back(device);
}

// What a device does, counted, and perhaps with little memory.
struct Watched {
  static kernels::DeviceKernels& of(const kernels::DeviceKernels& device) {
    auto& table = copy_of(device);
    real() = &device, largest() = std::numeric_limits<size_t>::max();
    table.allocate = [](size_t bytes) {
      if (bytes > largest()) throw Failure("out of memory");
      return ++allocations(), real()->allocate(bytes);
    };
    table.allocate_host = [](size_t bytes) { return ++allocations(), real()->allocate_host(bytes); };
    table.copy = [](void* to, const void* from, size_t bytes) { ++copies(), real()->copy(to, from, bytes); };
    table.synchronise = [] { ++waits(), real()->synchronise(); };
    return table;
  }
  static const kernels::DeviceKernels*& real() { static const kernels::DeviceKernels* k; return k; }
  static size_t& largest() { static size_t bytes; return bytes; }
  static int& allocations() { static int n; return n; }
  static int& copies() { static int n; return n; }
  static int& waits() { static int n; return n; }
};

// A run of `name` on a device, which stops and goes on in another agent if there is a file, and all that can be known
// of it: what it reports and what it leaves, parameters and moments too.
struct Outcome {
  std::vector<std::pair<int64_t, double>> logged, episodes, evaluations;
  std::vector<std::string> warnings;
  std::string checkpoint;
};
Outcome train(const kernels::DeviceKernels& device, const std::string& name, TrainingSettings s, int environments,
              const DataSet* data = nullptr) {
  const Folder folder;
  Outcome all;
  for (const int64_t stop : {s.start_steps + 9, int64_t{0}}) {
    const auto settings = small(name);
    DeviceAgent agent(device, [&] { return settings->make_agent(2, 1, 3); });
    std::vector<fakes::Line> lines(static_cast<size_t>(environments));
    fakes::Line evaluation_line(3, 3);
    std::vector<Environment*> worlds;
    for (fakes::Line& line : lines) worlds.push_back(&line);
    Training training(s, agent, worlds, evaluation_line, data);
    fakes::Recorder recorder;
    recorder.stop_at = stop, recorder.training = &training, recorder.path = folder.file("last");
    if (stop == 0) training.load(SafetensorsFile(recorder.path));
    training.run(recorder);
    const auto append = [](auto& a, const auto& b) { a.insert(a.end(), b.begin(), b.end()); };
    append(all.logged, recorder.logged), append(all.episodes, recorder.episodes);
    append(all.evaluations, recorder.evaluations), append(all.warnings, recorder.warnings);
  }
  std::ifstream file(folder.file("last"), std::ios::binary);
  all.checkpoint.assign(std::istreambuf_iterator<char>(file), {});
  return all;
}

TrainingSettings short_run() {
  TrainingSettings s = fakes::small();
  s.steps = 56, s.start_steps = 30, s.replay_capacity = 24;   // wraps
  s.evaluation_interval = 1000, s.evaluation_episodes = 1, s.log_interval = 5, s.checkpoint_interval = 1000;
  return s;
}

void check_same(const Outcome& a, const Outcome& b) {
  CHECK(a.logged == b.logged);
  CHECK(a.episodes == b.episodes);
  CHECK(a.evaluations == b.evaluations);
  CHECK(a.checkpoint == b.checkpoint);
}

}  // namespace

// Protects the whole way of a batch: in training with and without a thread for the environments, with one environment
// and three, of single steps, chunks and several rewards, from a data set and after a checkpoint, an agent that has the
// rows of the replay on its device ends with the bits of one to which batches are sent.
TEST_CASE("a replay's rows on the device change no bit of a run") {
  const fakes::TwoThreads two;
  DataSet data;
  data.observations = 2, data.actions = 1;
  for (int row = 0; row < 40; ++row) {   // episodes of four transitions
    data.observation.insert(data.observation.end(), {0.01f * static_cast<float>(row), static_cast<float>(row % 5)});
    data.action.push_back(0.02f * static_cast<float>(row));
    data.reward.push_back(-1), data.mask.push_back(1), data.terminal.push_back(row % 5 == 4);
  }
  for (const kernels::DeviceKernels* device : devices()) {
    CAPTURE(device->name);
    auto& sent = copy_of(*device);   // to a device that shares the host's memory batches are sent
    sent.shares_memory = true;
    for (const bool overlap : {true, false})
      for (const int environments : {1, 3}) {
        CAPTURE(overlap);
        CAPTURE(environments);
        TrainingSettings s = short_run();
        s.overlap = overlap;
        const Outcome there = train(*device, "sac", s, environments), here = train(sent, "sac", s, environments);
        check_same(there, here);
        CHECK(there.warnings.empty());
        CHECK(there.logged.size() >= 5);
      }
    TrainingSettings s = short_run();
    s.steps = 46;
    for (const std::string name : {"mfpo", "mvp", "qc"}) {
      CAPTURE(name);
      check_same(train(*device, name, s, 1), train(sent, name, s, 1));
    }
    s.offline_steps = 20, s.start_steps = 5, s.steps = 36, s.replay_capacity = 48;
    check_same(train(*device, "qc", s, 1, &data), train(sent, "qc", s, 1, &data));
  }
}

// Protects the steady state: an update sends the rows that were written in one copy, or two where a ring begins anew,
// starts its graph and waits once; nothing is allocated any more.
TEST_CASE("an update from a replay's rows on the device copies once, waits once and allocates nothing") {
  for (const kernels::DeviceKernels* device : devices()) {
    CAPTURE(device->name);
    const kernels::DeviceKernels& watched = Watched::of(*device);
    const auto settings = small("sac");
    DeviceAgent agent(watched, [&] { return settings->make_agent(S, A, 3); });
    Replay replay(1, 30, S, A);
    REQUIRE(agent.mirror(replay));
    const std::vector<float> observation(S, 0.5f), action(A, 0.25f);
    std::vector<float> metrics(agent.metric_names().size());
    replay.begin_episode(0, observation);
    Data data = empty_batch(rows, S, A);
    std::vector<uint32_t> named(2 * rows);
    Batch& batch = data.batch;
    for (Tensor* t : {&batch.state, &batch.action, &batch.reward, &batch.next_state}) t->data = nullptr;
    batch.rows = view(named.data(), rows, 2);
    int begun_anew = 0;
    for (uint64_t u = 1; u <= 70; ++u) {
      replay.append(0, action, 1, false, false, observation);
      if (u <= 5) continue;
      replay.sample({1, 2, u}, batch);
      Watched::allocations() = Watched::copies() = Watched::waits() = 0;
      agent.update(batch, u, metrics);
      if (u <= 8) continue;
      CHECK(Watched::allocations() == 0);
      CHECK(Watched::waits() == 1);
      CHECK(Watched::copies() <= 2);
      begun_anew += Watched::copies() == 2;
    }
    CHECK(begun_anew == 2);
  }
}

// Protects a run on a device that is full: it says so, once, and does what it did before.
TEST_CASE("a device without room for the replay gets batches") {
  for (const kernels::DeviceKernels* device : devices()) {
    CAPTURE(device->name);
    TrainingSettings s = short_run();
    const Outcome there = train(*device, "sac", s, 1);
    s.replay_capacity = 40'000'000;
    auto& watched = Watched::of(*device);
    Watched::largest() = 512 << 20;
    const Outcome full = train(watched, "sac", s, 1);
    REQUIRE(full.warnings.size() == 2);   // of two agents
    CHECK(full.warnings[0] ==
          "batches are sent to the device, which has no room for the replay (see replay_capacity): out of memory");
    CHECK(full.logged.size() == there.logged.size());
  }
}
