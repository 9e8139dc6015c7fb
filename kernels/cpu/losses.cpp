#include <meander/kernels/losses.h>

#include <meander/kernels/cpu/lanes.h>
#include <meander/kernels/cpu/table.h>
#include <meander/kernels/threads.h>

namespace meander::kernels {
namespace {
int64_t row_grain(int64_t cols) { return 1 + 2048 / (cols + 1); }
}  // namespace

void cross_entropy(int64_t rows, int64_t cols, const float* target, const float* logits, float* row, float* loss) {
  const IsaKernels& isa = active();
  parallel_for(rows, row_grain(cols), [&](int64_t begin, int64_t end) {
    isa.log_sum_exp(end - begin, cols, logits + begin * cols, row + begin);
    for (int64_t i = begin; i < end; ++i) {
      const float *p = target + i * cols, *x = logits + i * cols, log_sum = row[i];
      row[i] = -sum_in_lanes(cols, [=](int64_t j) { return p[j] * (x[j] - log_sum); });
    }
  });
  *loss = sum_in_lanes(rows, [=](int64_t i) { return row[i]; }) / static_cast<float>(rows);
}

void cross_entropy_gradient(int64_t rows, int64_t cols, const float* target, const float* logits, const float* dloss,
                            float* dlogits) {
  const IsaKernels& isa = active();
  const float scale = *dloss / static_cast<float>(rows);
  parallel_for(rows, row_grain(cols), [&](int64_t begin, int64_t end) {
    isa.softmax(end - begin, cols, logits + begin * cols, dlogits + begin * cols);
    for (int64_t i = begin; i < end; ++i) {
      const float* const p = target + i * cols;
      float* const d = dlogits + i * cols;
      const float mass = sum_in_lanes(cols, [=](int64_t j) { return p[j]; });
      for (int64_t j = 0; j < cols; ++j) d[j] = (d[j] * mass - p[j]) * scale;
    }
  });
}

void mean_squared_error(int64_t n, const float* a, const float* b, float* loss) {
  const float sum = sum_in_lanes(n, [=](int64_t i) { return (a[i] - b[i]) * (a[i] - b[i]); });
  *loss = sum / static_cast<float>(n);
}

void mean_squared_error_gradient(int64_t n, const float* a, const float* b, const float* dloss, float* da) {
  const float scale = 2.0f * *dloss / static_cast<float>(n);
  for (int64_t i = 0; i < n; ++i) da[i] = (a[i] - b[i]) * scale;
}

}  // namespace meander::kernels
