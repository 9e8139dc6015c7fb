#include <meander/kernels/mean_flow.h>

#include <meander/kernels/cuda/elements.h>
#include <meander/kernels/cuda/formulas.h>

// Times of a batch and the targets of its mean fields: kernels/mean_flow.h.
namespace meander::kernels::MEANDER_CUDA {
namespace {

__global__ void interval_kernel(const __grid_constant__ IntervalOf i) {
  for_elements(i.rows, [&](int64_t k) {
    float first = i.a[k], second = i.b[k];
    if (i.draw == IntervalDraw::logit_normal) {
      first = sigmoid(i.deviation * first + i.mean);
      second = sigmoid(i.deviation * second + i.mean);
    } else if (i.draw == IntervalDraw::uniform_below) {
      first = (1 - 2 * i.margin) * first + i.margin;
      second = first * second;
    }
    const float t = first < second ? second : first, r = first < second ? first : second;
    i.t[k] = t;
    i.r[k] = k < i.still ? t : r;
  });
}

__global__ void target_kernel(int64_t rows, int64_t cols, int64_t still, const float* t, const float* r,
                              const float* field, const float* derivative, float* y) {
  for_matrix(rows, cols, [&](int64_t i, int64_t j) {
    const int64_t at = i * cols + j;
    const float length = minimum(maximum(t[i] - r[i], 0.0f), 1.0f);
    y[at] = i < still ? field[at] : field[at] - length * derivative[at - still * cols];
  });
}

}  // namespace

void interval(const IntervalOf& i) {
  if (i.rows > 0) launch(interval_kernel, blocks_for(i.rows, element_block), element_block, 0, i);
}

void mean_flow_target(int64_t rows, int64_t cols, int64_t still, const float* t, const float* r, const float* field,
                      const float* derivative, float* y) {
  if (rows * cols > 0)
    launch(target_kernel, blocks_for(rows * cols, element_block), element_block, 0, rows, cols, still, t, r, field,
           derivative, y);
}

}  // namespace meander::kernels::MEANDER_CUDA
