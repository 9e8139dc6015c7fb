#pragma once

#include <cstdint>

#include "kernels/mlp.h"
#include "kernels/optimiser.h"

// The single-threaded kernels of one instruction set, each over a range. kernels/*.cpp split the work over threads and
// call them through this table.
namespace meander::kernels {

using Unary = void (*)(int64_t n, const float* x, float* y);

// A matrix product in the packed form of kernels/cpu/product.h.
struct IsaKernels {
  Unary exp, log, tanh, gelu, gelu_slope, mish, mish_slope, sigmoid;
  void (*sincos)(int64_t n, const float* x, float* sine, float* cosine);

  void (*philox_bits)(const uint32_t key[2], uint32_t first_block, const uint32_t counter[3], int64_t blocks,
                      uint32_t* out);
  void (*box_muller)(int64_t pairs, const uint32_t* bits, float* out);

  void (*sum_row)(int64_t rows, int64_t cols, const float* x, float* y);
  void (*sum_column)(int64_t rows, int64_t cols, int64_t first, int64_t last, const float* x, float* y,
                     bool accumulate);
  void (*max_row)(int64_t rows, int64_t cols, const float* x, float* y);
  void (*softmax)(int64_t rows, int64_t cols, const float* x, float* y);
  void (*log_sum_exp)(int64_t rows, int64_t cols, const float* x, float* y);
  void (*softmax_expectation)(int64_t rows, int64_t cols, const float* x, const float* value, float* y);
  void (*layer_norm)(int64_t rows, int64_t cols, float eps, const float* x, const float* scale, const float* shift,
                     float* y, float* normalised, float* rstd);

  void (*adam)(int64_t n, const AdamConstants& c, float correction1, float correction2, const float* gradient,
               float* params, float* m, float* v);
  void (*exponential_average)(int64_t n, float tau, const float* source, float* target);

  void (*truncated_normal)(int64_t n, const float* lower, const float* upper, const float* f, float* y);
  void (*normal_mass_ratio)(int64_t n, const float* lower, const float* upper, const float* y, float* ratio);
};

namespace avx2 { extern const IsaKernels table; }
namespace avx512 { extern const IsaKernels table; }
namespace neon { extern const IsaKernels table; }

// The table in use. The first call reads MEANDER_ISA.
const IsaKernels& active();

}  // namespace meander::kernels
