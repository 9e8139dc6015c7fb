#pragma once

#include <cstdint>

namespace meander::kernels {

// sum_j f(j), j < n, in the order of a row's sum: 16 lanes (lane l takes l, 16 + l, ...) and a fixed tree over them.
template <class F>
float sum_in_lanes(int64_t n, F f) {
  float s[16] = {};
  int64_t j = 0;
  for (; j + 16 <= n; j += 16)
    for (int l = 0; l < 16; ++l) s[l] += f(j + l);
  for (int l = 0; j + l < n; ++l) s[l] += f(j + l);
  for (int half = 8; half >= 1; half /= 2)
    for (int l = 0; l < half; ++l) s[l] += s[l + half];
  return s[0];
}

}  // namespace meander::kernels
