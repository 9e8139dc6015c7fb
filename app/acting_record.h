#pragma once

#include <string>
#include <vector>

#include <meander/core/environment.h>
#include <meander/core/safetensors.h>
#include <meander/nn/policy.h>

namespace meander {

// What acting needs beside a policy's parameters: a checkpoint says it, so that the task need not be there.
struct ActingRecord {
  std::vector<float> action_low, action_high;        // [A], of the task
  std::vector<float> mean, deviation;                // [S]: see EnvironmentInfo; empty: observations as they are
  int64_t candidates = 1;                            // of which evaluation takes the best
  bool smaller = false;                              // by the smaller of two critics, else by their mean
};

inline constexpr const char* acting_key = "acting";  // of a checkpoint's metadata

std::string acting_text(const EnvironmentInfo& task, const PolicyDescription& policy);
// Throws Error if the checkpoint has none, as those of versions before 0.3, or it is none of this policy.
ActingRecord acting_record(const SafetensorsFile& checkpoint, const PolicyDescription& policy);

}  // namespace meander
