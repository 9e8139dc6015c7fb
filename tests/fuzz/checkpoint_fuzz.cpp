// A checkpoint of a run. The first byte's lower bits pick the algorithm: the file is loaded into a small run of it, and
// with the highest bit a step and an update follow. Of the number after the last algorithm: only the loop's state and
// the replay are read, which needs no agent.

#include <map>
#include <memory>
#include <vector>

#include "../folder.h"
#include "target.h"
#include "tensors.h"
#include <meander/algos/training.h>
#include <meander/envs/environments.h>
#include <meander/kernels/threads.h>

using namespace meander;

const bool fuzz::first_byte_says = true;
bool fuzz::is_text(uint8_t) { return false; }

namespace {

constexpr uint8_t goes_on = 0x80;

const std::vector<std::string>& algorithms() {
  static const std::vector<std::string> names = algorithm_names();
  return names;
}

// Runs to a step and writes every checkpoint on the way.
struct Until : Observer {
  explicit Until(int64_t last) : last(last) {}
  void step_done(int64_t step) override { now = step; }
  void checkpoint(int64_t) override {
    if (!training) return;
    SafetensorsWriter file;
    training->save(file);
    file.write(path);
  }
  bool stop() override { return now >= last; }
  int64_t last, now = 0;
  Training* training = nullptr;
  std::string path;
};

// A run of Pendulum with an agent of a few hundred numbers.
struct Run {
  explicit Run(const std::string& algorithm)
      : environment(make_environment("Pendulum-v1")), other(make_environment("Pendulum-v1")) {
    const auto algorithm_settings = make_algorithm(algorithm);
    const std::map<std::string, const char*> small = {
        {"batch_size", "2"}, {"actor_width", "3"}, {"critic_width", "3"}, {"width", "3"}, {"actor_layers", "1"},
        {"critic_layers", "1"}, {"layers", "1"}, {"policy_proposals", "2"}, {"gaussian_proposals", "2"},
        {"atoms", "3"}, {"proposals", "2"}, {"candidates", "2"}, {"horizon", "2"}, {"probes", "1"},
        {"sampling_steps", "2"}, {"evaluation_candidates", "2"}};
    const std::vector<Setting> table = algorithm_settings->settings();
    for (const auto& [key, value] : small) {
      const Setting* const setting = find_setting(table, key);
      if (setting && std::holds_alternative<int64_t*>(setting->value)) set(*algorithm_settings, key, value);
    }
    agent = algorithm_settings->make_agent(environment->info().observations, environment->info().actions, 0);
    settings.seed = 1, settings.steps = 1'000'000, settings.start_steps = 20, settings.replay_capacity = 24;
    settings.evaluation_interval = settings.log_interval = settings.checkpoint_interval = 1'000'000;
    settings.evaluation_episodes = 1, settings.overlap = false;
    training = std::make_unique<Training>(settings, *agent, std::vector<Environment*>{environment.get()},
                                          std::vector<Environment*>{other.get()});
  }
  void go_on(Until& until) {
    try {
      training->run(until);
    } catch (const Failure&) {  // a loss that isn't finite
    }
  }

  TrainingSettings settings;
  std::unique_ptr<Environment> environment, other;
  std::unique_ptr<Agent> agent;
  std::unique_ptr<Training> training;
  std::string whole;  // its checkpoint after 30 steps
};

Run& run_of(size_t algorithm) {
  static std::map<size_t, std::unique_ptr<Run>> runs;
  std::unique_ptr<Run>& run = runs[algorithm];
  if (run) return *run;
  kernels::set_threads(1);
  run = std::make_unique<Run>(algorithms()[algorithm]);
  const Folder folder;
  Until until(30);
  until.training = run->training.get(), until.path = folder.file("last");
  run->training->run(until);
  run->whole = read_text(until.path);
  return *run;
}

// An algorithm, or the number after the last: no agent.
size_t kind_of(uint8_t first) { return static_cast<size_t>(first & ~goes_on) % (algorithms().size() + 1); }
Run& run_of_byte(uint8_t first) { return run_of(kind_of(first) % algorithms().size()); }

void read_alone(const SafetensorsFile& file, const Run& run) {
  const LoopState state = read_loop_state(file, run.settings, 1, 1, 1);
  const LoopCounters& counters = state.counters;
  fuzz::expect(counters.step >= 0 && counters.updates >= 0 && counters.updates <= counters.step &&
                   counters.episodes >= 1 && counters.last_evaluation <= counters.step &&
                   counters.summed_updates <= counters.updates,
               "counters contradict each other");
  fuzz::expect(state.worlds.size() == 1 && state.worlds[0].queue_left >= 0 && state.worlds[0].queue_left <= 1,
               "an environment stands nowhere");
  Replay replay(1, run.settings.replay_capacity, 3, 1);
  replay.load(file);
  fuzz::expect(replay.size() <= replay.rows_written() && replay.size() <= run.settings.replay_capacity + 1,
               "the replay holds more than there were");
}

}  // namespace

std::string fuzz::whole_input(uint8_t first) { return run_of_byte(first).whole; }

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  Run& run = run_of_byte(data[0]);
  const bool alone = kind_of(data[0]) == algorithms().size();
  const std::string whole = size == 1 ? run.whole : "";
  const std::span<const std::byte> bytes =
      size == 1 ? std::as_bytes(std::span(whole)) : fuzz::bytes(data + 1, size - 1);
  const bool taken = fuzz::takes([&] {
    const SafetensorsFile file(bytes, "last.safetensors");
    if (alone) read_alone(file, run);
    else run.training->load(file);
  });
  fuzz::expect(taken || size > 1, "what a run has written is refused");
  if (!taken || alone) return 0;
  const std::vector<float> state = {1, 0, 0};
  std::vector<float> action(static_cast<size_t>(run.agent->chunk()));
  run.agent->act(state, 1, action);
  if (data[0] & goes_on)
    fuzz::takes([&] {
      Until until(1);  // any step is later
      run.go_on(until);
    });
  return 0;
}
