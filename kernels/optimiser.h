#pragma once

#include <cstdint>
#include <span>

namespace meander::kernels {

struct AdamConstants {
  double learning_rate = 3e-4, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
};

// A network's part of one step of an optimiser. target: null, or the average that follows the parameters.
struct AdamArguments {
  int64_t n;
  const float* gradient;
  float *params, *m, *v, *target;
};

// Adam (Kingma and Ba 2015), for each network; the step is counted from 1: *step, or `number` where that is null.
//   m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  p -= lr (m / (1 - b1^step)) / (sqrt(v / (1 - b2^step)) + eps)
//   target = (1 - tau) target + tau p
// An m below the normal range becomes 0: it would decay among the subnormals, which are slow, where a unit is dead.
// The constants, 1 - b1 and 1 - b2 among them, are rounded to float32 once: 1 - 0.999f in float32 is 1e-5 off.
// Nothing changes where *stop is not 0; null: no such flag.
void adam(std::span<const AdamArguments>, const AdamConstants&, float tau, int64_t number, const uint64_t* step,
          const uint32_t* stop);

// target = (1 - tau) target + tau source, unless *stop is set as above.
void exponential_average(int64_t n, float tau, const float* source, float* target, const uint32_t* stop);

}  // namespace meander::kernels
