#pragma once

#include <cstdint>
#include <string>

#include <meander/algos/settings.h>
#include <meander/core/json.h>
#include <meander/core/safetensors.h>

namespace meander {

// The sizes of recorded updates, held against the tensors of the first one before anything is made of these sizes.
struct RecordedTask {
  int observations, actions;
  int64_t batch;

  // From the settings in the metadata; throws Error if they are not those of the recorded batch.
  RecordedTask(const SafetensorsFile& file, const Json& settings);
  // Throws Error if networks of these settings have more parameters than the file has numbers.
  void expect_room_for(AlgorithmSettings& settings) const;

 private:
  int64_t numbers_ = 0;  // in all tensors
};

// How many rows of `width` a recorded tensor has; throws Error if it is missing, has none, or half a one.
int64_t states_in(const SafetensorsFile& file, const std::string& name, int64_t width);

}  // namespace meander
