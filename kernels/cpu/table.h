#pragma once

#include <cstdint>

#include <meander/kernels/mlp.h>
#include <meander/kernels/optimiser.h>

// The single-threaded kernels of one instruction set, each over a range. kernels/*.cpp split the work over threads and
// call them through this table.
namespace meander::kernels {

using Unary = void (*)(int64_t n, const float* x, float* y);

// The right factor of a product, B [k, n]: packed by panels (see kernels/cpu/product.h), or where it lies, with rows
// `plain_stride` apart and `packed` holding the last panel alone if its columns are cut.
struct IsaMatrix {
  const float* packed = nullptr;
  const float* plain = nullptr;
  int64_t plain_stride = 0;
};

struct MlpRun;
struct MlpTape;
struct MlpLayerPullback;

struct IsaArrays {
  Unary exp, log, tanh, sigmoid;
  void (*activation)(Activation which, int64_t n, const float* x, float* y);
  void (*activation_slope)(Activation which, int64_t n, const float* x, float* y);
  void (*sincos)(int64_t n, const float* x, float* sine, float* cosine);

  void (*philox_bits)(const uint32_t key[2], uint32_t first_block, const uint32_t counter[3], int64_t blocks,
                      uint32_t* out);
  void (*box_muller)(int64_t pairs, const uint32_t* bits, float* out);

  void (*sum_row)(int64_t rows, int64_t cols, const float* x, float* y);
  void (*sum_column)(int64_t rows, int64_t cols, int64_t first, int64_t last, const float* x, float* y,
                     bool accumulate);
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

struct IsaLayers {
  // Norm and activation of hidden layer `layer` in place, rows `stride` apart; see kernels/cpu/layer_functions.h.
  void (*mlp_finish)(const MlpShape& shape, const float* params, int layer, int64_t rows, float* z, int64_t stride,
                     const MlpTape& tape);
  void (*mlp_layer_pullback)(const MlpLayerPullback& layer, int64_t rows);
};

struct IsaProducts {
  int64_t panel;      // columns of a panel
  int64_t tile_rows;  // rows of a register tile

  void (*pack)(int64_t k, int64_t n, int64_t first_panel, int64_t last_panel, const float* b, int64_t stride,
               bool transposed, float* out);
  void (*pack_bfloat16)(int64_t k, int64_t n, int64_t first_panel, int64_t last_panel, const float* b, int64_t stride,
                        uint32_t* out);
  void (*product_rows)(int64_t rows, int64_t n, int64_t k, const float* a, int64_t a_stride, const IsaMatrix& b,
                       const float* init, int64_t init_stride, float* c, int64_t c_stride);
  void (*product_tn)(int64_t m, int64_t n, int64_t k, const float* a, const float* b, float* c, bool accumulate,
                     int64_t first_panel, int64_t last_panel);

  // Rows [first, last) of a call, values alone or with the tangents or the gradients of the same rows.
  void (*mlp_values)(const MlpRun& run, int64_t first, int64_t last);
  void (*mlp_values_bfloat16)(const MlpRun& run, int64_t first, int64_t last);
  void (*mlp_values_and_tangents)(const MlpRun& run, int64_t first, int64_t last);
  void (*mlp_values_and_gradients)(const MlpRun& run, int64_t first, int64_t last);
};

// As many objects, so that a change in one is compiled in seconds.
struct IsaKernels : IsaArrays, IsaLayers, IsaProducts {};

#define MEANDER_TABLES extern const IsaArrays arrays; extern const IsaLayers layers; extern const IsaProducts products;
namespace avx2 { MEANDER_TABLES }
namespace avx512 { MEANDER_TABLES }
namespace avx512_bf16 { MEANDER_TABLES }
namespace neon { MEANDER_TABLES }
#undef MEANDER_TABLES

// The table in use. The first call reads MEANDER_ISA.
const IsaKernels& active();

}  // namespace meander::kernels
