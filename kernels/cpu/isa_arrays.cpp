// Functions over arrays and rows.
#include <meander/kernels/cpu/isa_unit.h>

namespace meander::kernels::MEANDER_ISA_NAMESPACE {
namespace {
#include <meander/kernels/cpu/vector.h>
#include <meander/kernels/formulas/elementary.h>
#include <meander/kernels/formulas/activations.h>
#include <meander/kernels/formulas/truncated_normal.h>
#include <meander/kernels/formulas/random.h>
#include <meander/kernels/formulas/optimiser.h>
#include <meander/kernels/cpu/elementwise.h>
#include <meander/kernels/cpu/random.h>
#include <meander/kernels/cpu/row_moments.h>
#include <meander/kernels/cpu/expectation.h>
#include <meander/kernels/cpu/rows.h>
static void layer_norm(int64_t rows, int64_t cols, float eps, const float* x, const float* scale, const float* shift,
                       float* y, float* normalised, float* rstd) {
  layer_norm(rows, cols, eps, x, scale, shift, y, cols, normalised, rstd);
}
#include <meander/kernels/cpu/truncated_normal.h>
}  // namespace

const IsaArrays arrays = {
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
    .truncated_normal = truncated_normal_array,
    .normal_mass_ratio = normal_mass_ratio_array,
};

}  // namespace meander::kernels::MEANDER_ISA_NAMESPACE
