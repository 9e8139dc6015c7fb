// All CPU kernels, compiled once for each instruction set in a namespace named after it (see CMakeLists.txt). Nothing
// of another header is called here and everything but `table` is local to this object: a function compiled for a wide
// instruction set must never be the copy that a narrow machine links.
#include <cstdint>

#define MEANDER_PRAGMA(words) _Pragma(#words)
#if defined(__clang__)
#define MEANDER_UNROLL(times) MEANDER_PRAGMA(unroll times)
#else
#define MEANDER_UNROLL(times) MEANDER_PRAGMA(GCC unroll times)
// GCC 12 warns of its own AVX-512 header.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#if defined(__AVX512F__)
#include <immintrin.h>
#define MEANDER_VECTOR_BYTES 64
#elif defined(__AVX2__)
#include <immintrin.h>
#define MEANDER_VECTOR_BYTES 32
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#define MEANDER_VECTOR_BYTES 16
#endif

#include <meander/kernels/cpu/mlp_run.h>
#include <meander/kernels/cpu/table.h>
#include <meander/kernels/formulas/formula.h>

namespace meander::kernels::MEANDER_ISA_NAMESPACE {
namespace {
#include <meander/kernels/cpu/vector.h>
#include <meander/kernels/formulas/elementary.h>
#include <meander/kernels/formulas/activations.h>
#include <meander/kernels/formulas/truncated_normal.h>
#include <meander/kernels/formulas/random.h>
#include <meander/kernels/formulas/optimiser.h>
#include <meander/kernels/cpu/elementwise.h>
#include <meander/kernels/cpu/rows.h>
#include <meander/kernels/cpu/truncated_normal.h>
#include <meander/kernels/cpu/product.h>
#include <meander/kernels/cpu/product_bf16.h>
#include <meander/kernels/cpu/mlp_layer.h>
#include <meander/kernels/cpu/mlp_chain.h>
}  // namespace

extern const IsaKernels table;
const IsaKernels table = {
    .panel = panel,
    .tile_rows = tile_rows,
    .exp = exp_array,
    .log = log_array,
    .tanh = tanh_array,
    .sigmoid = sigmoid_array,
    .activation = activation_array,
    .activation_slope = activation_slope_array,
    .sincos = sincos_array,
    .philox_bits = philox_bits,
    .box_muller = box_muller,
    .sum_row = sum_row,
    .sum_column = sum_column,
    .softmax = softmax,
    .log_sum_exp = log_sum_exp,
    .softmax_expectation = softmax_expectation,
    .layer_norm = layer_norm,
    .adam = adam,
    .exponential_average = exponential_average,
    .pack = pack,
    .pack_bfloat16 = pack_bfloat16,
    .product_rows = product_rows,
    .product_tn = product_tn,
    .mlp_values = mlp_values,
    .mlp_values_bfloat16 = mlp_values_bfloat16,
    .mlp_values_and_tangents = mlp_values_and_tangents,
    .mlp_values_and_gradients = mlp_values_and_gradients,
    .mlp_finish = mlp_finish,
    .mlp_layer_pullback = mlp_layer_pullback,
    .truncated_normal = truncated_normal_array,
    .normal_mass_ratio = normal_mass_ratio_array,
};

}  // namespace meander::kernels::MEANDER_ISA_NAMESPACE
