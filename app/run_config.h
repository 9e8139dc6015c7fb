#pragma once

#include <memory>
#include <string>
#include <vector>

#include <meander/algos/settings.h>
#include <meander/algos/training.h>
#include <meander/app/data_options.h>
#include <meander/envs/wrapped.h>

namespace meander {

// Everything a run is made of, resolved.
struct RunConfig {
  std::string algorithm, environment;
  int64_t threads = 0;  // 0: all of the machine's
  std::string device = "cpu";
  std::string machine;  // on which it runs or ran last: "cuda: NVIDIA H200 ..."; empty: not known
  TaskSettings task;
  DataOptions data_options;
  TrainingSettings training;
  std::unique_ptr<AlgorithmSettings> algorithm_settings;

  std::vector<Setting> training_table();   // pointers into this object
  std::vector<Setting> algorithm_table();
};

// One key=value of the command line; `origin` is how the user wrote it: "--steps", "--set".
struct Assignment {
  std::string origin, key, text;
};

// Splits "key=value"; throws Error if it is not of that form.
Assignment parse_assignment(const std::string& text);

// A configuration file: its text and what to call it in errors.
struct ConfigText {
  std::string text, name;
};
ConfigText read_config_text(const std::string& path);  // throws Error if it cannot be read

// Resolves a run in this order, later ones win: defaults, the environment's defaults, presets (assignments of the
// origin --preset), the configuration file, the command line. An empty algorithm or environment is taken from the file;
// the environment may stay empty.
// Throws Error naming the place, the key, what was expected and what came, with the nearest name for a misspelt one.
RunConfig resolve(const std::string& algorithm, const std::string& environment, const ConfigText* file,
                  const std::vector<Assignment>& assignments);

// The value of a setting as TOML writes it.
std::string value_text(const Setting& setting);

// Every setting with its value, unit and meaning as TOML that resolve reads back.
std::string to_toml(RunConfig& config);

}  // namespace meander
