#pragma once

// Short runs of the training loop with the learner and the task of fakes.h, and a record of what they report.

#include <string>
#include <utility>
#include <vector>

#include <meander/algos/training.h>
#include "fakes.h"
#include <meander/kernels/threads.h>

namespace meander::fakes {

struct Recorder : Observer {
  void episode_ended(int64_t step, double episode_return) override { episodes.emplace_back(step, episode_return); }
  void metrics(int64_t step, std::span<const double> means) override { logged.emplace_back(step, means[0]); }
  void evaluated(int64_t step, const Evaluation& e, bool best_so_far) override {
    evaluations.emplace_back(step, e.mean());
    best.push_back(best_so_far);
  }
  void warning(int64_t step, const std::string& text) override { warnings.push_back(text), warned_at = step; }
  void checkpoint(int64_t step) override {
    checkpoints.push_back(step);
    if (!training) return;
    SafetensorsWriter file;
    training->save(file);
    file.write(path);
  }
  void update_failed(int64_t step) override { failed = step; }
  void step_done(int64_t step) override { last_step = step; }
  bool stop() override { return stop_at > 0 && last_step >= stop_at; }

  std::vector<std::pair<int64_t, double>> episodes, logged, evaluations;
  std::vector<bool> best;
  std::vector<std::string> warnings;
  std::vector<int64_t> checkpoints;
  int64_t failed = 0, last_step = 0, stop_at = 0, warned_at = 0;
  Training* training = nullptr;
  std::string path;
};

inline TrainingSettings small() {
  TrainingSettings s;
  s.seed = 5;
  s.steps = 400;
  s.start_steps = 100;
  s.replay_capacity = 150;  // wraps
  s.evaluation_interval = 100;
  s.evaluation_episodes = 2;
  s.log_interval = 30;
  s.checkpoint_interval = 70;
  return s;
}

// So many threads, on any machine.
struct Threads {
  explicit Threads(int count) { kernels::set_threads(count); }
  ~Threads() { kernels::set_threads(before); }
  const int before = kernels::threads();
};

// What overlap asks for.
struct TwoThreads : Threads {
  TwoThreads() : Threads(2) {}
};

}  // namespace meander::fakes
