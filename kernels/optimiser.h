#pragma once

#include <cstdint>

namespace meander::kernels {

struct AdamConstants {
  float learning_rate = 3e-4f, beta1 = 0.9f, beta2 = 0.999f, epsilon = 1e-8f;
};

// Adam (Kingma and Ba 2015), step counted from 1:
//   m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  p -= lr (m / (1 - b1^step)) / (sqrt(v / (1 - b2^step)) + eps)
// The two corrections are computed in double once a call.
void adam(int64_t n, const AdamConstants&, int64_t step, const float* gradient, float* params, float* m, float* v);

// target = (1 - tau) target + tau source
void exponential_average(int64_t n, float tau, const float* source, float* target);

}  // namespace meander::kernels
