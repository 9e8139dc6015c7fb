#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <meander/envs/wrapped.h>
#include <meander/kernels/threads.h>

namespace meander {

// Several environments of one task, and the list of them that the library takes.
class Worlds {
 public:
  // `seed`: of the run that the settings are of.
  Worlds(const std::string& task, int64_t count, const TaskSettings& settings = {}, int64_t seed = 0) {
    for (int64_t i = 0; i < count; ++i) {
      owned_.push_back(make_environment(task, settings, static_cast<uint64_t>(seed)));
      all_.push_back(owned_.back().get());
    }
  }
  const std::vector<Environment*>& all() const { return all_; }
  const EnvironmentInfo& info() const { return all_.front()->info(); }

 private:
  std::vector<std::unique_ptr<Environment>> owned_;
  std::vector<Environment*> all_;
};

// Environments to act in for so many episodes: one for each thread, as far as there are episodes for them.
inline Worlds worlds_for(int64_t episodes, const std::string& task, const TaskSettings& settings = {}, int64_t seed = 0) {
  return {task, std::min<int64_t>(kernels::threads(), episodes), settings, seed};
}

}  // namespace meander
