// Included by plain.cpp and wide.cpp, each with compiler options of its own.
#include <cmath>

#include "bench/ladder/layer.h"

namespace meander::ladder {
namespace {

// Norm and activation of the rows of z, as the formulas stand.
inline void finish_plainly(const Layer& l, int64_t rows, const float* z, float* y) {
  for (int64_t i = 0; i < rows; ++i, z += l.out, y += l.out) {
    float sum = 0, squares = 0;
    for (int64_t j = 0; j < l.out; ++j) sum += z[j];
    const float mean = sum / float(l.out);
    for (int64_t j = 0; j < l.out; ++j) squares += (z[j] - mean) * (z[j] - mean);
    const float rstd = 1 / std::sqrt(squares / float(l.out) + eps);
    for (int64_t j = 0; j < l.out; ++j) {
      const float v = (z[j] - mean) * rstd * l.scale[j] + l.shift[j];
      y[j] = 0.5f * v * (1 + std::tanh(0.79788456f * (v + 0.044715f * v * v * v)));
    }
  }
}

// The innermost loop goes along a row of W and of y: what is next to each other is used together.
inline void multiply_by_rows(const Layer& l, float* __restrict z) {
  for (int64_t i = 0; i < l.rows; ++i) {
    for (int64_t j = 0; j < l.out; ++j) z[i * l.out + j] = l.bias[j];
    for (int64_t k = 0; k < l.in; ++k)
      for (int64_t j = 0; j < l.out; ++j) z[i * l.out + j] += l.x[i * l.in + k] * l.weight[k * l.out + j];
  }
}

}  // namespace
}  // namespace meander::ladder
