#pragma once

#include <cstdint>

namespace meander::kernels {

// Inverse of the normal distribution function restricted to an interval: y with
//   Phi(y) = (1 - f) Phi(lower) + f Phi(upper),   lower < upper, 0 <= f <= 1, float32,
// accurate to about 1e-6 max(1, |y|) in the centre and in both tails (bounds of 30 or 400 included), always inside
// [lower, upper].
void truncated_normal(int64_t n, const float* lower, const float* upper, const float* f, float* y);

// (Phi(upper) - Phi(lower)) / phi(y), phi the normal density: the derivative of y by f. Relative accuracy kept in the
// tails.
void normal_mass_ratio(int64_t n, const float* lower, const float* upper, const float* y, float* ratio);

}  // namespace meander::kernels
