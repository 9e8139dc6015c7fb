#pragma once

#include <cstdint>

// Operations that take each row of a row-major [rows, cols] matrix, float32. Sums over a row run in 16 fixed lanes
// (lane j takes columns j, 16 + j, ...) and one fixed tree over the lanes; sums over rows run in row order.
namespace meander::kernels {

void sum_row(int64_t rows, int64_t cols, const float* x, float* y);         // y [rows]: sum over the columns of a row
void sum_column(int64_t rows, int64_t cols, const float* x, float* y);      // y [cols]: sum over the rows of a column
void softmax(int64_t rows, int64_t cols, const float* x, float* y);         // exp(x - max) / sum; in place allowed
void log_sum_exp(int64_t rows, int64_t cols, const float* x, float* y);     // y [rows]: max + log(sum exp(x - max))
void mean(int64_t n, const float* x, float* y);                             // y, one number: the mean of all
// log N(x; 0, I) = -sum_j x_j^2 / 2 - cols log(2 pi) / 2 of each row, y [rows]
void normal_log_prob(int64_t rows, int64_t cols, const float* x, float* y);
constexpr double half_log_two_pi = 0.91893853320467274178;
// y [rows] = sum_j softmax(x)_j value_j: the expected value of a categorical distribution given by logits.
void softmax_expectation(int64_t rows, int64_t cols, const float* x, const float* value, float* y);

// y = (x - mean) / sqrt(var + eps) * scale + shift by row, two-pass variance. normalised [rows, cols] and
// rstd [rows] (1 / sqrt(var + eps)) are written where not null.
void layer_norm(int64_t rows, int64_t cols, float eps, const float* x, const float* scale, const float* shift, float* y,
                float* normalised, float* rstd);

// C51 projection (Bellemare, Dabney, Munos 2017, algorithm 1): mass prob[i, j] at position where[i, j], clipped to
// [v_min, v_max], is shared linearly between its two neighbours on the grid linspace(v_min, v_max, atoms).
// prob, where [rows, atoms] -> y [rows, atoms]. Mass on a grid point stays there.
void c51_project(int64_t rows, int64_t atoms, float v_min, float v_max, const float* prob, const float* where,
                 float* y);
// The transpose of that linear map at the same positions: dprob[i, j] = sum_m weight_ijm dy[i, m].
void c51_project_transpose(int64_t rows, int64_t atoms, float v_min, float v_max, const float* where, const float* dy,
                           float* dprob);

}  // namespace meander::kernels
