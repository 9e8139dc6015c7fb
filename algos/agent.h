#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/safetensors.h"
#include "core/tensor.h"

namespace meander {

// A batch of transitions, float32. mask is 0 on true termination, else 1.
struct Batch {
  Tensor state;       // [B, S]
  Tensor action;      // [B, A], in [-1, 1]
  Tensor reward;      // [B, 1]
  Tensor mask;        // [B, 1]
  Tensor next_state;  // [B, S]
};

// A learner as the training loop sees it. Nothing here draws from a hidden generator: `step` names the random numbers.
class Agent {
 public:
  virtual ~Agent() = default;
  virtual int observations() const = 0;
  virtual int actions() const = 0;
  virtual int batch_size() const = 0;

  // One exploration action in [-1, 1] for one state.
  virtual void explore(std::span<const float> state, uint64_t step, std::span<float> action) = 0;
  // The action evaluation uses (best of several candidates); `step` counts evaluation actions.
  virtual void act(std::span<const float> state, uint64_t step, std::span<float> action) = 0;

  // One update; `step` counts updates from 1. Writes one number for each of metric_names(). Throws Failure, naming the
  // loss, if one is not finite, and then leaves the parameters as they were.
  virtual void update(const Batch& batch, uint64_t step, std::span<float> metrics) = 0;
  virtual std::span<const char* const> metric_names() const = 0;

  // Parameters, targets and optimiser state under their names. load throws Error on a missing or wrong tensor.
  virtual void save(SafetensorsWriter& file) const = 0;
  virtual void load(const SafetensorsFile& file) = 0;
};

}  // namespace meander
