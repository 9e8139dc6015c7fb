#include <meander/kernels/rows.h>

#include <meander/kernels/cpu/lanes.h>
#include <meander/kernels/cpu/table.h>
#include <meander/kernels/formulas/formula.h>
#include <meander/kernels/threads.h>

namespace meander::kernels {
namespace {

int64_t row_grain(int64_t cols) { return cols >= 4096 ? 1 : 4096 / (cols > 0 ? cols : 1); }

// f(first row, number of rows) over the threads.
template <class F>
void over_rows(int64_t rows, int64_t cols, F&& f) {
  parallel_for(rows, row_grain(cols), [&](int64_t begin, int64_t end) { f(begin, end - begin); });
}

#include <meander/kernels/formulas/grid.h>

}  // namespace

void sum_row(int64_t rows, int64_t cols, const float* x, float* y) {
  const IsaKernels& isa = active();
  over_rows(rows, cols, [&](int64_t i, int64_t n) { isa.sum_row(n, cols, x + i * cols, y + i); });
}

void sum_column(int64_t rows, int64_t cols, const float* x, float* y) {
  const IsaKernels& isa = active();
  parallel_for(cols, 64, [&](int64_t begin, int64_t end) { isa.sum_column(rows, cols, begin, end, x, y, false); });
}

void mean(int64_t n, const float* x, float* y) {
  float sum;
  active().sum_row(1, n, x, &sum);
  *y = sum / static_cast<float>(n);
}

void normal_log_prob(int64_t rows, int64_t cols, const float* x, float* y) {
  const float offset = static_cast<float>(-half_log_two_pi * static_cast<double>(cols));
  for (int64_t i = 0; i < rows; ++i) {
    const float* const row = x + i * cols;
    y[i] = -0.5f * sum_in_lanes(cols, [=](int64_t j) { return row[j] * row[j]; }) + offset;
  }
}

void softmax(int64_t rows, int64_t cols, const float* x, float* y) {
  const IsaKernels& isa = active();
  over_rows(rows, cols, [&](int64_t i, int64_t n) { isa.softmax(n, cols, x + i * cols, y + i * cols); });
}

void log_sum_exp(int64_t rows, int64_t cols, const float* x, float* y) {
  const IsaKernels& isa = active();
  over_rows(rows, cols, [&](int64_t i, int64_t n) { isa.log_sum_exp(n, cols, x + i * cols, y + i); });
}

void softmax_expectation(int64_t rows, int64_t cols, const float* x, const float* value, float* y) {
  const IsaKernels& isa = active();
  over_rows(rows, cols, [&](int64_t i, int64_t n) { isa.softmax_expectation(n, cols, x + i * cols, value, y + i); });
}

void layer_norm(int64_t rows, int64_t cols, float eps, const float* x, const float* scale, const float* shift, float* y,
                float* normalised, float* rstd) {
  const IsaKernels& isa = active();
  over_rows(rows, cols, [&](int64_t i, int64_t n) {
    isa.layer_norm(n, cols, eps, x + i * cols, scale, shift, y + i * cols, normalised ? normalised + i * cols : nullptr,
                   rstd ? rstd + i : nullptr);
  });
}

void c51_project(int64_t rows, int64_t atoms, float v_min, float v_max, const float* prob, const float* where,
                 float* y) {
  over_rows(rows, atoms, [=](int64_t first, int64_t n) {
    for (int64_t i = first; i < first + n; ++i) {
      float* row = y + i * atoms;
      for (int64_t j = 0; j < atoms; ++j) row[j] = 0.0f;
      for (int64_t j = 0; j < atoms; ++j) {
        const float mass = prob[i * atoms + j];
        const GridPlace place = grid_place(atoms, v_min, v_max, where[i * atoms + j]);
        row[place.low] += mass * (1.0f - place.upper_share);
        row[place.low + 1] += mass * place.upper_share;
      }
    }
  });
}

void c51_project_transpose(int64_t rows, int64_t atoms, float v_min, float v_max, const float* where, const float* dy,
                           float* dprob) {
  over_rows(rows, atoms, [=](int64_t first, int64_t n) {
    for (int64_t i = first; i < first + n; ++i)
      for (int64_t j = 0; j < atoms; ++j) {
        const GridPlace place = grid_place(atoms, v_min, v_max, where[i * atoms + j]);
        const float* row = dy + i * atoms + place.low;
        dprob[i * atoms + j] = row[0] * (1.0f - place.upper_share) + row[1] * place.upper_share;
      }
  });
}

}  // namespace meander::kernels
