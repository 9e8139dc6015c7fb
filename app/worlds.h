#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "envs/environments.h"
#include "kernels/threads.h"

namespace meander {

// Several environments of one task, and the list of them that the library takes.
class Worlds {
 public:
  Worlds(const std::string& task, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      owned_.push_back(make_environment(task));
      all_.push_back(owned_.back().get());
    }
  }
  const std::vector<Environment*>& all() const { return all_; }
  const EnvironmentInfo& info() const { return all_.front()->info(); }

 private:
  std::vector<std::unique_ptr<Environment>> owned_;
  std::vector<Environment*> all_;
};

// Environments of an evaluation: one for each thread, as far as there are episodes for them.
inline Worlds evaluation_worlds(const std::string& task, int64_t episodes) {
  return {task, std::min<int64_t>(kernels::threads(), episodes)};
}

}  // namespace meander
