#include <meander/kernels/mean_flow.h>

#include <meander/kernels/cuda/elements.h>
#include <meander/kernels/cuda/formulas.h>

// Times of a batch and the targets of its mean fields: kernels/mean_flow.h.
namespace meander::kernels::MEANDER_CUDA {
namespace {

__global__ void flow_times_kernel(const __grid_constant__ FlowTimesArguments i) {
  for_elements(i.rows, [&](int64_t k) {
    float first = i.a[k], second = i.b[k];
    if (i.draw == FlowTimesDraw::logit_normal) {
      first = sigmoid(i.deviation * first + i.mean);
      second = sigmoid(i.deviation * second + i.mean);
    } else if (i.draw == FlowTimesDraw::uniform_below) {
      first = (1 - 2 * i.margin) * first + i.margin;
      second = first * second;
    }
    const float t = first < second ? second : first, r = first < second ? first : second;
    i.t[k] = t;
    i.r[k] = k < i.equal ? t : r;
  });
}

__global__ void target_kernel(int64_t rows, int64_t cols, int64_t equal, const float* t, const float* r,
                              const float* field, const float* derivative, float* y) {
  for_matrix(rows, cols, [&](int64_t i, int64_t j) {
    const int64_t at = i * cols + j;
    const float length = minimum(maximum(t[i] - r[i], 0.0f), 1.0f);
    y[at] = i < equal ? field[at] : field[at] - length * derivative[at - equal * cols];
  });
}

}  // namespace

void flow_times(const FlowTimesArguments& i) {
  if (i.rows > 0) launch(flow_times_kernel, blocks_for(i.rows, element_block), element_block, 0, i);
}

void mean_flow_target(int64_t rows, int64_t cols, int64_t equal, const float* t, const float* r, const float* field,
                      const float* derivative, float* y) {
  if (rows * cols > 0)
    launch(target_kernel, blocks_for(rows * cols, element_block), element_block, 0, rows, cols, equal, t, r, field,
           derivative, y);
}

}  // namespace meander::kernels::MEANDER_CUDA
