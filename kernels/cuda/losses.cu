#include <meander/kernels/cuda/row_lanes.h>

// kernels/losses.h.
namespace meander::kernels::MEANDER_CUDA {
namespace {

struct SquaredDifference {
  const float *a, *b;
  __device__ float operator()(int64_t i) const {
    const float d = a[i] - b[i];
    return d * d;
  }
};

__global__ void cross_entropy_kernel(int64_t rows, int64_t cols, const float* target, const float* logits,
                                     float* loss) {
  for_rows(rows, cols, [&](Row row) {
    const float *p = target + row.index * cols, *x = logits + row.index * cols;
    const float largest = row_max(row, x), log_sum = largest + log(row_exp_sum(row, x, largest));
    const float sum = row_sum_of(row, [&](int64_t j) { return p[j] * (x[j] - log_sum); });
    if (row.writes) loss[row.index] = -sum;
  });
}

__global__ void cross_entropy_gradient_kernel(int64_t rows, int64_t cols, const float* target, const float* logits,
                                              const float* dloss, float* dlogits) {
  const float scale = *dloss / static_cast<float>(rows);
  for_rows(rows, cols, [&](Row row) {
    const float *p = target + row.index * cols, *x = logits + row.index * cols;
    const float largest = row_max(row, x), total = row_exp_sum(row, x, largest), mass = row_sum(row, p);
    for_lane(row, [&](int64_t j) {
      dlogits[row.index * cols + j] = (exp(x[j] - largest) / total * mass - p[j]) * scale;
    });
  });
}

__global__ void squared_gradient_kernel(int64_t n, const float* a, const float* b, const float* dloss, float* da) {
  const float scale = 2.0f * *dloss / static_cast<float>(n);
  for_elements(n, [&](int64_t i) { da[i] = (a[i] - b[i]) * scale; });
}

}  // namespace

void cross_entropy(int64_t rows, int64_t cols, const float* target, const float* logits, float* row, float* loss) {
  launch_rows(cross_entropy_kernel, rows, cols, target, logits, row);
  mean_of(rows, NumberAt{row}, loss);
}

void cross_entropy_gradient(int64_t rows, int64_t cols, const float* target, const float* logits, const float* dloss,
                            float* dlogits) {
  launch_rows(cross_entropy_gradient_kernel, rows, cols, target, logits, dloss, dlogits);
}

void mean_squared_error(int64_t n, const float* a, const float* b, float* loss) {
  mean_of(n, SquaredDifference{a, b}, loss);
}

void mean_squared_error_gradient(int64_t n, const float* a, const float* b, const float* dloss, float* da) {
  if (n > 0) launch(squared_gradient_kernel, blocks_for(n, element_block), element_block, 0, n, a, b, dloss, da);
}

}  // namespace meander::kernels::MEANDER_CUDA
