#pragma once

// Policies of every algorithm as blobs, and the engine beside them.

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "../algos/small_agents.h"
#include <meander/app/policy_blob.h>
#include <meander/deploy/meander_policy.h>

namespace meander::testing {

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

// Memory as a caller of meander_policy.h gives it.
class Memory {
 public:
  explicit Memory(size_t bytes) : size_(bytes), memory_(std::aligned_alloc(64, (bytes + 63) / 64 * 64)) {}
  explicit Memory(const std::vector<std::byte>& bytes) : Memory(bytes.size()) {
    std::memcpy(memory_.get(), bytes.data(), bytes.size());
  }
  uint8_t* get() const { return static_cast<uint8_t*>(memory_.get()); }
  size_t size() const { return size_; }

 private:
  size_t size_;
  std::unique_ptr<void, Free> memory_;
};

// A blob, opened, with a workspace.
struct Opened {
  explicit Opened(const std::vector<std::byte>& bytes)
      : blob(bytes), status(meander_policy_open(&policy, blob.get(), blob.size(), 1)),
        workspace(status == MEANDER_OK ? meander_workspace_size(&policy, 0) : 64) {}
  meander_status act(const std::vector<float>& observation, meander_noise noise, uint32_t candidates,
                     std::vector<float>& action, float* q = nullptr) const {
    action.assign(policy.chunk * policy.actions, 7.0f);
    return meander_act(&policy, workspace.get(), workspace.size(), observation.data(), noise, candidates, action.data(),
                       q);
  }
  Memory blob;
  meander_policy policy;
  meander_status status;
  Memory workspace;
};

// Ranges and scaling that no task has by chance.
inline ActingRecord acting_of(const PolicyDescription& policy, bool scaled) {
  ActingRecord acting{.action_low = {}, .action_high = {}, .mean = {}, .deviation = {},
                      .candidates = policy.act_candidates, .smaller = policy.scores && policy.scores->smaller};
  for (int64_t i = 0; i < policy.actions; ++i) {
    acting.action_low.push_back(-0.3f - static_cast<float>(i));
    acting.action_high.push_back(0.7f + static_cast<float>(i));
  }
  for (int64_t i = 0; scaled && i < policy.observations; ++i) {
    acting.mean.push_back(0.1f * static_cast<float>(i) - 0.3f);
    acting.deviation.push_back(0.5f + 0.2f * static_cast<float>(i));
  }
  return acting;
}

inline std::vector<std::byte> blob_of(const PolicyDescription& policy, bool scaled = false,
                                      deploy::Weights weights = deploy::Weights::float32) {
  return policy_blob(policy, acting_of(policy, scaled),
                     {.weights = weights, .candidates = policy.act_candidates, .tests = 4, .text = "task of a test\n"});
}

// Parameters of trained networks are no initial ones: biases and norms are moved too.
inline void shake_all(Learner& learner) {
  std::vector<std::string> names;
  for (const auto& network : learner.networks()) names.push_back(network.name);
  for (const std::string& name : names)
    if (network(learner, name).train_state->params.size() > 1) shake(learner, name, 5, 0.05);
  learner.networks();
}

}  // namespace meander::testing
