#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include <meander/kernels/error.h>
#include <meander/core/random.h>

namespace meander {

struct EnvironmentInfo {
  std::string name;                       // "HalfCheetah-v4"
  int observations = 0;                   // S
  int actions = 0;                        // A
  std::vector<double> action_low, action_high;  // in the environment's own units
  int time_limit = 0;                     // steps after which an episode is truncated
  // Defaults of the task: the support of the distributional critic and whether the smaller of two critics is used.
  double v_min = -1600, v_max = 1600;
  bool clipped_double_q = true;
  bool ends_with_success = false;         // a true end is a success; else it is a fall, or there is none
  std::string source = "Gymnasium 1.2.3";  // the package it reproduces
  // [S] or empty: an observation is (o - mean) / deviation of the task's own numbers, all float32, so that whoever acts
  // elsewhere (deploy/) can compute the same.
  std::vector<float> observation_mean = {}, observation_deviation = {};
};

struct Step {
  double reward = 0;
  bool terminated = false;                // a true end: no value beyond it
  bool truncated = false;                 // the time limit
};

// One simulated task. Not shared between threads.
class Environment {
 public:
  virtual ~Environment() = default;
  virtual const EnvironmentInfo& info() const = 0;

  // Starts an episode with the task's own distribution of states.
  virtual void reset(Stream& random) = 0;
  // One control step in the environment's own units, not clipped. Throws Error unless the action holds info().actions
  // finite numbers: a simulator would carry what is none into its state.
  virtual Step step(std::span<const double> action) = 0;
  // The observation after the last reset or step, info().observations numbers.
  virtual std::span<const double> observation() const = 0;

  // Everything the next steps depend on, also derived quantities the next reward reads; load gives the same bits as
  // no interruption. Throws Error if the size is not this task's, or a number is none that save gives.
  virtual std::vector<double> save() const = 0;
  virtual void load(std::span<const double> state) = 0;

  // Same as step for an action in [-1, 1]: clips it there and maps it linearly to [action_low, action_high].
  Step act(std::span<const float> action);

  // Where the simulation is that this one stands before; itself if it is none before another.
  virtual Environment& unwrapped() { return *this; }

 protected:
  void check_action(std::span<const double> action) const;  // throws what step throws
  // For load: throws Error unless the state has `size` numbers, all finite.
  void check_state(std::span<const double> state, size_t size) const;
  // For load: a count of steps in an episode, which no task has 1e9 of. Throws Error if it is no such number.
  int steps_in_state(double steps) const;

 private:
  void check_action_size(size_t size) const;
  std::vector<double> scaled_;
};

// In the header, so that the library, which knows environments by this interface alone, needs no part of envs.
inline Step Environment::act(std::span<const float> action) {
  const EnvironmentInfo& about = info();
  check_action_size(action.size());
  scaled_.resize(action.size());
  for (size_t i = 0; i < action.size(); ++i) {
    const double middle = 0.5 * (about.action_low[i] + about.action_high[i]);
    const double half = 0.5 * (about.action_high[i] - about.action_low[i]);
    scaled_[i] = middle + half * std::clamp(static_cast<double>(action[i]), -1.0, 1.0);
  }
  return step(scaled_);
}

inline void Environment::check_action_size(size_t size) const {
  if (static_cast<int>(size) != info().actions)
    throw Error(message(info().name, ": expected an action of ", info().actions, " numbers, got ", size));
}

inline void Environment::check_action(std::span<const double> action) const {
  check_action_size(action.size());
  for (size_t i = 0; i < action.size(); ++i)
    if (!std::isfinite(action[i]))
      throw Error(message(info().name, ": number ", i, " of the action is ", action[i], ", expected a finite one"));
}

inline void Environment::check_state(std::span<const double> state, size_t size) const {
  if (state.size() != size)
    throw Error(message(info().name, ": expected a state of ", size, " numbers, got ", state.size()));
  for (size_t i = 0; i < size; ++i)
    if (!std::isfinite(state[i]))
      throw Error(message(info().name, ": number ", i, " of the state is ", state[i], ", expected a finite one"));
}

inline int Environment::steps_in_state(double steps) const {
  if (!(steps >= 0 && steps <= 1e9) || steps != std::floor(steps))
    throw Error(message(info().name, ": the state has ", steps, " steps, expected a whole number from 0 to 1e9"));
  return static_cast<int>(steps);
}

}  // namespace meander
