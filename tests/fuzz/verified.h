#pragma once

// A file that `verify` reads, of whatever kind it says it is.

#include <vector>

#include <meander/app/verify_environment.h>
#include <meander/app/verify_reference.h>

namespace meander::fuzz {

inline std::vector<CheckLine> verified(const SafetensorsFile& file) {
  if (is_environment_golden(file)) return verify_environment(file);
  if (is_learner_reference(file)) return verify_learner(file);
  if (is_update_reference(file)) return verify_updates(file);
  if (is_operation_reference(file)) return verify_operations(file);
  throw Error("none of them");
}

inline std::string data_file(const std::string& name) {
  return std::string(MEANDER_TEST_DATA "/") + name + ".safetensors";
}

}  // namespace meander::fuzz
