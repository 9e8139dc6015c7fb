#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/random.h"

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
  std::string source = "Gymnasium 1.2.3";  // the package it reproduces
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
  // One control step in the environment's own units, not clipped.
  virtual Step step(std::span<const double> action) = 0;
  // The observation after the last reset or step, info().observations numbers.
  virtual std::span<const double> observation() const = 0;

  // Everything the next steps depend on, also derived quantities the next reward reads; load gives the same bits as
  // no interruption. Throws Error if the size is not this task's.
  virtual std::vector<double> save() const = 0;
  virtual void load(std::span<const double> state) = 0;

  // Same as step for an action in [-1, 1]: clips it there and maps it linearly to [action_low, action_high].
  Step act(std::span<const float> action);

 private:
  std::vector<double> scaled_;
};

// In the header, so that the library, which knows environments by this interface alone, needs no part of envs.
inline Step Environment::act(std::span<const float> action) {
  const EnvironmentInfo& about = info();
  if (static_cast<int>(action.size()) != about.actions)
    throw Error(message(about.name, ": expected an action of ", about.actions, " numbers, got ", action.size()));
  scaled_.resize(action.size());
  for (size_t i = 0; i < action.size(); ++i) {
    const double middle = 0.5 * (about.action_low[i] + about.action_high[i]);
    const double half = 0.5 * (about.action_high[i] - about.action_low[i]);
    scaled_[i] = middle + half * std::clamp(static_cast<double>(action[i]), -1.0, 1.0);
  }
  return step(scaled_);
}

}  // namespace meander
