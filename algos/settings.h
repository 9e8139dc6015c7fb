#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include <meander/algos/agent.h>
#include <meander/core/nearest.h>
#include <meander/core/environment.h>

namespace meander {

// One setting as the command line, TOML and `meander config` see it: a name, where its value lives, and what it means.
struct Setting {
  std::string key;
  std::variant<bool*, int64_t*, double*, std::string*> value;
  std::string unit;      // "rows", "steps", "" for a pure number or a switch
  std::string meaning;   // one line
  double low = -1e300;   // allowed range of a number, both ends included
  double high = 1e300;
  std::vector<std::string> choices;  // allowed words of a string; empty: any
};

struct TrainingSettings;

// The settings of one algorithm, and the way to an agent from them.
struct AlgorithmSettings {
  virtual ~AlgorithmSettings() = default;
  virtual std::string name() const = 0;                  // "mfpo"
  virtual std::string title() const = 0;                 // "Mean Flow Policy Optimization"
  virtual std::vector<Setting> settings() = 0;           // pointers into this object
  virtual void adapt(const EnvironmentInfo&) {}          // the task's defaults, before config and --set are applied
  virtual void adapt_loop(TrainingSettings&) const {}    // the algorithm's defaults for the loop, likewise
  virtual std::unique_ptr<Agent> make_agent(int observations, int actions, uint64_t seed) const = 0;
};

// The settings of an algorithm with its defaults, by their type, whose definition only its own source needs
// (algos/algorithm.h).
template <class Settings>
std::unique_ptr<AlgorithmSettings> settings_of();

std::vector<std::string> algorithm_names();
// Throws Error with the nearest name if there is no such algorithm.
std::unique_ptr<AlgorithmSettings> make_algorithm(const std::string& name);

}  // namespace meander
