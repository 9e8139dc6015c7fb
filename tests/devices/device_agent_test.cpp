#include <meander/algos/device_agent.h>

#include <deque>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>

#include "../folder.h"
#include <meander/algos/settings.h>
#include "../algos/batches.h"
#include "devices.h"
#include <meander/kernels/cuda/emulator/executor.h>
#include <meander/kernels/device.h>
#include "../algos/runs.h"

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
    for (const std::string name : {"mfpo", "som", "mvp", "sac", "qc", "fql", "flow_map"}) {
      CAPTURE(device->name);
      CAPTURE(name);
      const auto settings = small(name);
      const auto make = [&] { return settings->make_agent(S, A, 3); };
      const auto here = make();
      DeviceAgent there(*device, make);
      const std::vector<float> state{0.1f, -0.5f, 0.9f};
      for (uint64_t u = 1; u <= (MEANDER_FEW_CASES ? 3 : 5); ++u) {
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

namespace {

// Before it goes online its parameters grow by 1 an update; then they are frozen, and grow by what was frozen.
class Freezing final : public Agent {
 public:
  Freezing() : params_(rows), grows_by_(rows), frozen_(rows) {
    grows_by_.set(std::vector<float>(rows, 1).data());
    frozen_.set(std::vector<float>(rows, -1).data());
  }
  int observations() const override { return S; }
  int actions() const override { return A; }
  int batch_size() const override { return rows; }
  const PolicyDescription& policy() const override { return policy_; }
  void explore(std::span<const float>, uint64_t, std::span<float>) override {}
  void act(std::span<const float>, uint64_t, std::span<float>) override {}
  std::span<const char* const> metric_names() const override { return names_; }
  int kind_of_update(const Batch&) const override { return 0; }
  void begin_online() override {
    frozen_.copy_from(params_);
    online_ = true;
  }
  void update(const Batch&, uint64_t, std::span<float> metrics) override {
    const Buffer& by = online_ ? frozen_ : grows_by_;
    kernels::current().add_scaled(rows, params_.data(), 1, by.data(), params_.data());
    assign(view(metrics.data(), 1, 1), view(params_.data(), 1, 1));
  }
  void save(SafetensorsWriter&) const override {}
  void load(const SafetensorsFile&) override {}

 private:
  static constexpr const char* names_[] = {"parameter"};
  Buffer params_, grows_by_, frozen_;
  bool online_ = false;
  PolicyDescription policy_{};
};

}  // namespace

// Protects what an agent freezes when offline training ends: the record of an offline update is not repeated online.
TEST_CASE("an agent on a device that goes online is recorded anew") {
  for (const kernels::DeviceKernels* device : devices()) {
    CAPTURE(device->name);
    DeviceAgent agent(*device, [] { return std::make_unique<Freezing>(); });
    const Data data = random_batch(rows, S, A, 1);
    uint64_t u = 0;
    const auto parameter = [&] { return update(agent, data.batch, ++u)[0]; };
    for (const float expected : {1, 2, 3}) CHECK(parameter() == expected);
    agent.begin_online();
    for (const float expected : {6, 9, 12, 15}) CHECK(parameter() == expected);
  }
}

// Protects the branches of a recorded update: whichever order the device takes (the emulator another one each time), it
// ends with the bits of one kernel after the other.
TEST_CASE("an agent on a device learns the same in branches and in order") {
  for (const kernels::DeviceKernels* device : devices())
    for (const std::string name : {"mfpo", "mvp"}) {
      CAPTURE(device->name);
      CAPTURE(name);
      const auto settings = small(name);
      const auto make = [&] { return settings->make_agent(S, A, 3); };
      DeviceAgent branches(*device, make, true), in_order(*device, make, false);
      for (uint64_t u = 1; u <= (MEANDER_FEW_CASES ? 4 : 12); ++u) {
        const Data data = random_batch(rows, S, A, 100 + u, branches.chunk(), branches.return_steps());
        CAPTURE(u);
        CHECK(update(branches, data.batch, u) == update(in_order, data.batch, u));
      }
    }
}

// Protects real training: of networks as people have them the parts of an update take more than the arena has at first,
// and while one is recorded a device gives nothing. Small here, with an arena that begins as small.
TEST_CASE("recording an update asks the device for no memory") {
  const size_t before = DeviceArena::smallest_chunk;
  DeviceArena::smallest_chunk = 4096;
  static int asked, fails_at;
  asked = fails_at = 0;
  static const kernels::DeviceKernels emulated = [] {
    const char* why;
    return *kernels::emulated::find(&why);
  }();
  // A device each, for each has an arena, and that lives as long as the thread.
  static std::deque<kernels::DeviceKernels> all;
  const auto device = []() -> kernels::DeviceKernels& { return all.emplace_back(emulated); };
  for (const std::string name : {"mfpo", "mvp", "sac", "qc", "fql", "flow_map"}) {
    CAPTURE(name);
    const auto settings = small(name);
    const auto make = [&] { return settings->make_agent(S, A, 3); };
    const auto metrics_of = [&](DeviceAgent& agent, uint64_t u) {
      return update(agent, random_batch(rows, S, A, 100 + u, agent.chunk(), agent.return_steps()).batch, u);
    };
    kernels::DeviceKernels& full = device();
    full.allocate = [](size_t size) -> void* {
      if (++asked == fails_at) throw Failure("out of memory");
      return emulated.allocate(size);
    };
    DeviceAgent in_order(device(), make, false), branches(device(), make, true), without_room(full, make, true);
    for (uint64_t u = 1; u <= 4; ++u) {
      CAPTURE(u);
      const auto expected = metrics_of(in_order, u);
      const auto repeats = QueuedUpdate::repeated();
      CHECK(metrics_of(branches, u) == expected);
      CHECK(QueuedUpdate::repeated() == repeats + (u >= 2));   // it was recorded
      // What side by side needs is refused: then the parts run one after the other in the memory of the first update.
      const int before_refusal = asked;
      if (u == 2) fails_at = asked + 1;
      CHECK(metrics_of(without_room, u) == expected);
      if (u == 2) CHECK(asked == before_refusal + 1);
      fails_at = 0;
    }
  }
  DeviceArena::smallest_chunk = before;
}

// Protects the time of an action: from the state to the chosen action it is one launch, also right after an update, which
// leaves behind what acting needs of the parameters.
TEST_CASE("acting on a device is one launch") {
  kernels::register_device(kernels::Device::cuda_emulated, kernels::emulated::find);
  const kernels::DeviceKernels& device = *kernels::device_kernels(kernels::Device::cuda_emulated);
  for (const std::string name : {"mfpo", "som", "mvp", "qc"}) {
    CAPTURE(name);
    const auto settings = small(name);
    DeviceAgent agent(device, [&] { return settings->make_agent(S, A, 3); });
    std::vector<float> metrics(agent.metric_names().size()), action(static_cast<size_t>(agent.chunk() * A));
    const std::vector<float> state{0.1f, -0.5f, 0.9f};
    for (uint64_t u = 1; u <= 4; ++u) {
      agent.update(random_batch(rows, S, A, u, agent.chunk(), agent.return_steps()).batch, u, metrics);
      const uint64_t before = kernels::emulated::launches();
      agent.act(state, u, action);
      CHECK(kernels::emulated::launches() == before + 1);
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

// "Learns" of every tensor of its batches x = batch + x / 2 by the device's own functions, a few launches an update,
// and reports the means: one different bit in any batch shows.
class Memoriser : public Agent {
 public:
  Memoriser(int chunk, int steps) : chunk_(chunk), steps_(steps) {
    for (const int64_t cols : {2, chunk, steps, 1, 2, steps}) learnt_.emplace_back(rows * cols);
  }
  int observations() const override { return 2; }
  int actions() const override { return 1; }
  int batch_size() const override { return rows; }
  int chunk() const override { return chunk_; }
  int return_steps() const override { return steps_; }
  const PolicyDescription& policy() const override { throw Error("a fake that nothing describes"); }
  void explore(std::span<const float>, uint64_t step, std::span<float> action) override {
    kernels::philox_uniform({3, static_cast<uint32_t>(Purpose::explore), step}, nullptr, std::ssize(action),
                            action.data());
  }
  void act(std::span<const float>, uint64_t step, std::span<float> action) override { explore({}, step, action); }
  void update(const Batch& b, uint64_t, std::span<float> metrics) override {
    const kernels::DeviceKernels& k = kernels::current();
    const Tensor tensors[] = {b.state, b.action, b.reward, b.mask, b.next_state, b.valid};
    for (size_t i = 0; i < 6; ++i) {
      k.add_scaled(learnt_[i].size(), tensors[i].f32(), 0.5f, learnt_[i].data(), learnt_[i].data());
      k.mean(learnt_[i].size(), learnt_[i].data(), &metrics[i]);
    }
  }
  std::span<const char* const> metric_names() const override {
    static const char* const names[] = {"state", "action", "reward", "mask", "next_state", "valid"};
    return names;
  }
  int kind_of_update(const Batch& b) const override { return b.offline; }
  void save(SafetensorsWriter& file) const override {
    saved_.clear();
    for (const Buffer& b : learnt_) saved_.push_back(b.numbers());
    for (size_t i = 0; i < 6; ++i) file.add(metric_names()[i], {std::ssize(saved_[i])}, saved_[i].data());
  }
  void load(const SafetensorsFile& file) override {
    for (size_t i = 0; i < 6; ++i) learnt_[i].set(file.values<float>(metric_names()[i], learnt_[i].size()).data());
  }

 private:
  int chunk_, steps_;
  std::vector<Buffer> learnt_;
  mutable std::vector<std::vector<float>> saved_;
};
std::function<std::unique_ptr<Agent>()> memoriser(int chunk = 1, int steps = 1) {
  return [=] { return std::make_unique<Memoriser>(chunk, steps); };
}

// A run on a device that stops after `stop` steps and goes on in another agent, and all that can be known of it: what
// it reports and what it leaves.
struct Outcome {
  std::vector<std::map<std::string, double>> logged;
  std::vector<std::pair<int64_t, double>> episodes;
  std::vector<std::string> warnings;
  std::string checkpoint;
};
Outcome train(const kernels::DeviceKernels& device, const std::function<std::unique_ptr<Agent>()>& make,
              const TrainingSettings& s, int64_t stop, int environments, const DataSet* data = nullptr) {
  const Folder folder;
  Outcome all;
  for (const int64_t stop_at : {stop, int64_t{0}}) {
    DeviceAgent agent(device, make);
    struct Recorder : fakes::Recorder {
      void metrics(int64_t, std::span<const double> means) override {
        std::map<std::string, double>& line = all->logged.emplace_back();
        for (size_t i = 0; i < means.size(); ++i) line[names[i]] = means[i];
      }
      Outcome* all;
      std::span<const char* const> names;
    } recorder;
    std::vector<fakes::Line> lines(static_cast<size_t>(environments));
    fakes::Line evaluation_line(3, 3);
    std::vector<Environment*> worlds;
    for (fakes::Line& line : lines) worlds.push_back(&line);
    Training training(s, agent, worlds, {&evaluation_line}, data);
    recorder.all = &all, recorder.names = agent.metric_names();
    recorder.stop_at = stop_at, recorder.training = &training, recorder.path = folder.file("last");
    if (stop_at == 0) training.load(SafetensorsFile(recorder.path));
    training.run(recorder);
    const auto append = [](auto& a, const auto& b) { a.insert(a.end(), b.begin(), b.end()); };
    append(all.episodes, recorder.episodes), append(all.warnings, recorder.warnings);
  }
  std::ifstream file(folder.file("last"), std::ios::binary);
  all.checkpoint.assign(std::istreambuf_iterator<char>(file), {});
  return all;
}

TrainingSettings short_run() {
  TrainingSettings s = fakes::small();
  s.steps = 100, s.start_steps = 30, s.replay_capacity = 48;   // wraps
  s.evaluation_interval = 1000, s.evaluation_episodes = 1, s.log_interval = 1, s.checkpoint_interval = 1000;
  return s;
}

// Episodes of four transitions of a task like Line.
DataSet recorded() {
  DataSet data;
  data.observations = 2, data.actions = 1;
  for (int row = 0; row < 20; ++row) {
    data.observation.insert(data.observation.end(), {0.01f * static_cast<float>(row), static_cast<float>(row % 5)});
    data.action.push_back(0.02f * static_cast<float>(row));
    data.reward.push_back(-1), data.mask.push_back(1), data.terminal.push_back(row % 5 == 4);
  }
  return data;
}

}  // namespace

// Protects the whole way of a batch in training, with and without a thread for the environments, with one environment
// and three, of single steps and of chunks with more rewards than actions, from a data set, with full rings and after a
// checkpoint: an agent that has the rows of the replay on its device ends with the bits of one to which batches are
// sent.
TEST_CASE("a replay's rows on the device change no bit of a run") {
  const fakes::TwoThreads two;
  const DataSet data = recorded();
  for (const kernels::DeviceKernels* device : devices()) {
    auto& sharing = copy_of(*device);   // to a device that shares the host's memory batches are sent
    sharing.shares_memory = true;
    CAPTURE(device->name);
    for (const bool overlap : {true, false})
      for (const int environments : {1, 3})
        for (const int steps : {1, 3})
          for (const bool offline : {false, true}) {
            if (offline && overlap) continue;   // the same, but slower
            CAPTURE(overlap);
            CAPTURE(environments);
            CAPTURE(steps);
            CAPTURE(offline);
            TrainingSettings s = short_run();
            s.overlap = overlap;
            s.replay_capacity *= environments;
            if (offline) s.offline_steps = 20, s.start_steps = 8;
            const auto make = memoriser((steps + 1) / 2, steps);
            const auto run = [&](const kernels::DeviceKernels& on) {
              return train(on, make, s, 61, environments, offline ? &data : nullptr);
            };
            const Outcome there = run(*device), sent = run(sharing);
            CHECK(there.logged.size() >= static_cast<size_t>(70 / environments));
            CHECK(there.logged == sent.logged);
            CHECK(there.episodes == sent.episodes);
            CHECK(there.checkpoint == sent.checkpoint);
            CHECK(there.warnings.empty());
          }
    // An algorithm, with chunks.
    TrainingSettings s = short_run();
    s.offline_steps = 4, s.start_steps = 3, s.steps = 11;
    const auto settings = small("qc");
    const auto make = [&] { return settings->make_agent(2, 1, 3); };
    const Outcome there = train(*device, make, s, 6, 1, &data), sent = train(sharing, make, s, 6, 1, &data);
    CHECK(there.logged == sent.logged);
    CHECK(there.checkpoint == sent.checkpoint);
  }
}

// Protects the steady state: an update sends the rows that were written in one copy, or two where a ring begins anew,
// starts its graph and waits once; nothing is allocated any more.
TEST_CASE("an update from a replay's rows on the device copies once, waits once and allocates nothing") {
  for (const kernels::DeviceKernels* device : devices()) {
    CAPTURE(device->name);
    DeviceAgent agent(Watched::of(*device), memoriser());
    Replay replay(1, 30, 2, 1);
    REQUIRE(agent.mirror(replay));
    const std::vector<float> observation(2, 0.5f), action(1, 0.25f);
    std::vector<float> metrics(agent.metric_names().size());
    replay.begin_episode(0, observation);
    Data data = empty_batch(rows, 2, 1);
    Batch& batch = data.batch;
    std::vector<uint32_t> named(2 * rows);
    for (Tensor* t : {&batch.state, &batch.action, &batch.reward, &batch.next_state}) t->data = nullptr;
    batch.rows = view(named.data(), rows, 2);
    int begun_anew = 0;
    for (uint64_t u = 1; u <= 70; ++u) {
      replay.append(0, action, 1, false, false, observation);
      if (u <= 5) continue;
      replay.sample({1, 2, u}, batch);
      Watched::allocations() = Watched::copies() = Watched::waits() = 0;
      agent.update(batch, u, metrics);
      if (u <= 8) continue;   // done at once, and recorded
      CHECK(Watched::allocations() == 0);
      CHECK(Watched::waits() == 1);
      CHECK(Watched::copies() <= 2);
      begun_anew += Watched::copies() == 2;
    }
    CHECK(begun_anew == 2);
  }
}

// Protects a run on a device that is full: it says so and does what it would have done.
TEST_CASE("a device without room for the replay gets batches") {
  for (const kernels::DeviceKernels* device : devices()) {
    CAPTURE(device->name);
    TrainingSettings s = short_run();
    s.replay_capacity = 10'000;
    const Outcome there = train(*device, memoriser(), s, 61, 1);
    auto& watched = Watched::of(*device);
    Watched::largest() = 100'000;
    const Outcome full = train(watched, memoriser(), s, 61, 1);
    REQUIRE(full.warnings.size() == 2);   // of two agents
    CHECK(full.warnings[0] ==
          "batches are sent to the device, which has no room for the replay (see replay_capacity): out of memory");
    CHECK(full.logged == there.logged);
    CHECK(full.checkpoint == there.checkpoint);
  }
}
