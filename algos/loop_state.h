#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <meander/algos/settings.h>
#include <meander/core/safetensors.h>

namespace meander {

// Units, ranges and meaning of each: settings().
struct TrainingSettings {
  int64_t seed = 0;
  int64_t steps = 1'000'000;
  int64_t environments = 1;
  std::string data;
  int64_t offline_steps = 0;
  int64_t start_steps = 10'000;
  int64_t replay_capacity = 1'000'000;
  int64_t evaluation_interval = 10'000;
  int64_t evaluation_episodes = 10;
  int64_t log_interval = 1'000;
  int64_t checkpoint_interval = 20'000;
  bool overlap = true;

  std::vector<Setting> settings();  // pointers into this object
};

// Every number but tensors that the next steps of the loop depend on.
struct LoopCounters {
  int64_t step = 0, updates = 0, episodes = 0;  // done, done and begun so far
  int64_t last_evaluation = 0;                  // the step it was done at
  double best_return = -std::numeric_limits<double>::infinity();  // of the evaluations so far, this before the first
  int64_t summed_updates = 0;                   // since the last report
  bool evaluation_pending = false;              // one was interrupted
  // The mass cut off at the lower and the upper end of the critic's support, watched over 1,000 updates.
  struct Clipped {
    double sum = 0;
    bool warned = false;
  } clipped[2];

  // The order is part of the file format.
  template <class F>
  void for_each(F&& f) {
    f(step), f(updates), f(episodes), f(last_evaluation), f(best_return), f(summed_updates), f(evaluation_pending);
    for (Clipped& end : clipped) f(end.sum), f(end.warned);
  }
};

// What a checkpoint says of the loop, beside the agent's tensors and the replay's. The spans point into the file.
struct LoopState {
  struct World {
    double episode_return;
    int queue_left;                             // actions of the queue not yet taken
    std::span<const float> queue;               // [h A]
    std::span<const double> environment;        // for Environment::load, which knows what it may hold
  };
  LoopCounters counters;
  std::span<const double> metric_sums;          // of a version with other metrics another number
  std::vector<World> worlds;
};

// Reads it without anything that runs: each number is one that a run with these settings, with `chunk` actions of
// `actions` numbers decided on at once, could have written, else it throws Error with the file and the number.
LoopState read_loop_state(const SafetensorsFile& file, const TrainingSettings& settings, int64_t worlds, int64_t chunk,
                          int64_t actions);

}  // namespace meander
