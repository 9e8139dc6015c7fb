#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
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

// What a setting may be given: a value as TOML knows them.
using SettingValue = std::variant<bool, int64_t, double, std::string>;

// The setting of that name, null if there is none.
const Setting* find_setting(const std::vector<Setting>& table, const std::string& key);
std::vector<std::string> names_of(const std::vector<Setting>& table);
// "a whole number from 1 to 65536"
std::string expectation(const Setting& setting);
// Stores a value of the right kind and range (1e6 is a whole number too); false, and nothing stored, if it is not.
bool store(const Setting& setting, const SettingValue& value);
// The same from its text, as on a command line: 0.05, true, both.
bool store_text(const Setting& setting, const std::string& text);

// A setting or a metric that had another name: files and command lines with the old one are read still.
struct Renamed {
  std::string before, now;
};
// Those of the normal that draws the times of a mean flow, in MFPO, SOM and MVP.
std::vector<Renamed> renamed_flow_times();
// The name of today; for one of before it says so on standard error, in one line, once.
std::string name_of_today(const std::string& name, const std::vector<Renamed>& renamed);

struct TrainingSettings;

// The settings of one algorithm, and the way to an agent from them. What each field means, its unit and its range say
// settings(), in the algorithm's source, and `meander config`.
struct AlgorithmSettings {
  virtual ~AlgorithmSettings() = default;
  virtual std::string name() const = 0;                  // "mfpo"
  virtual std::string title() const = 0;                 // "Mean Flow Policy Optimization"
  virtual std::vector<Setting> settings() = 0;           // pointers into this object
  virtual std::vector<Renamed> renamed() const { return {}; }  // of its settings and metrics
  virtual void adapt(const EnvironmentInfo&) {}          // the task's defaults, before config and --set are applied
  virtual void adapt_loop(TrainingSettings&) const {}    // the algorithm's defaults for the loop, likewise
  virtual std::string warning(const TrainingSettings&) const { return {}; }   // what of a resolved run is of little use
  virtual std::unique_ptr<Agent> make_agent(int observations, int actions, uint64_t seed) const = 0;
};

// Sets one by name. Throws Error if there is no such setting, with the nearest name, or saying what it takes.
void set(AlgorithmSettings& algorithm, const std::string& key, const std::string& text);

// The settings of an algorithm with its defaults, by their type, whose definition only its own source needs
// (algos/algorithm.h).
template <class Settings>
std::unique_ptr<AlgorithmSettings> settings_of();

std::vector<std::string> algorithm_names();
// Throws Error with the nearest name if there is no such algorithm.
std::unique_ptr<AlgorithmSettings> make_algorithm(const std::string& name);
// An algorithm from outside, known by this name from then on: to make_algorithm and to every verb of the command. At
// the start of a program, before anything else uses algorithms. Throws Error if the name is taken.
using AlgorithmMaker = std::function<std::unique_ptr<AlgorithmSettings>()>;
void register_algorithm(const std::string& name, AlgorithmMaker maker);

// An agent of an algorithm for a task: its defaults, what the task changes, then these settings, as in
//   make_agent("mfpo", environment.info(), {{"alpha", "0.05"}}, seed)
// Throws Error as make_algorithm and set do, and where settings do not go together.
using SettingTexts = std::vector<std::pair<std::string, std::string>>;
std::unique_ptr<Agent> make_agent(const std::string& algorithm, const EnvironmentInfo& task,
                                  const SettingTexts& settings, uint64_t seed);

}  // namespace meander
