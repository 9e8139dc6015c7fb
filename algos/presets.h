#pragma once

#include <string>
#include <vector>

#include <meander/algos/loop_state.h>
#include <meander/algos/settings.h>

namespace meander {

// Settings under one name, for all tasks or for those whose names begin alike: as a source has them (defaults are what
// learns; what was printed somewhere is a preset), or what suits a machine without a GPU.
struct Preset {
  const char* name;        // "fql-paper"
  const char* algorithm;
  const char* task;        // how the tasks' names begin; "": all
  SettingTexts settings;   // the algorithm's and the loop's
  const char* source;
};
const std::vector<Preset>& presets();

// The names of the presets of an algorithm, each once.
std::vector<std::string> preset_names(const std::string& algorithm);
// Sets what a preset has for a task. Throws Error, with the names there are, if the algorithm has none of this name, or
// none for the task.
void apply_preset(AlgorithmSettings& settings, TrainingSettings& loop, const std::string& preset,
                  const std::string& task);

}  // namespace meander
