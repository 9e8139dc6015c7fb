#pragma once

#include <cstdint>

namespace meander::kernels {

struct AdamConstants {
  double learning_rate = 3e-4, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
};

// Adam (Kingma and Ba 2015), step counted from 1:
//   m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  p -= lr (m / (1 - b1^step)) / (sqrt(v / (1 - b2^step)) + eps)
// An m below the normal range becomes 0: it would decay among the subnormals, which are slow, where a unit is dead.
// The constants, 1 - b1 and 1 - b2 among them, are rounded to float32 once: 1 - 0.999f in float32 is 1e-5 off.
void adam(int64_t n, const AdamConstants&, int64_t step, const float* gradient, float* params, float* m, float* v);

// A network's part of one step of an optimiser: Adam's and, unless `target` is null, then that of the average that follows
// its parameters.
struct AdamOf {
  int64_t n;
  const float* gradient;
  float *params, *m, *v, *target;
};

// target = (1 - tau) target + tau source
void exponential_average(int64_t n, float tau, const float* source, float* target);

}  // namespace meander::kernels
