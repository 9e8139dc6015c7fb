#include "bench/ladder/loops.h"

namespace meander::ladder {

// A sum after the other: each step of the innermost loop waits for the addition before, and jumps a row of W ahead.
void plain_loops(const Layer& l) {
  float* const z = l.z;
  for (int64_t i = 0; i < l.rows; ++i)
    for (int64_t j = 0; j < l.out; ++j) {
      float sum = l.bias[j];
      for (int64_t k = 0; k < l.in; ++k) sum += l.x[i * l.in + k] * l.weight[k * l.out + j];
      z[i * l.out + j] = sum;
    }
  finish_plainly(l, l.rows, z, l.y);
}

void weights_by_rows(const Layer& l) {
  multiply_by_rows(l, l.z);
  finish_plainly(l, l.rows, l.z, l.y);
}

}  // namespace meander::ladder
