#pragma once

#include <span>

#include <meander/core/random.h>
#include <meander/kernels/philox.h>

namespace meander {

// An action of numbers uniform in [-1, 1], which (seed, purpose, name) decide.
inline void act_at_random(uint64_t seed, Purpose purpose, uint64_t name, std::span<float> action) {
  kernels::philox_uniform({seed, static_cast<uint32_t>(purpose), name}, nullptr, std::ssize(action), action.data());
  for (float& a : action) a = 2 * a - 1;
}

}  // namespace meander
