#include <meander/kernels/mean_flow.h>

#include <algorithm>

#include <meander/kernels/arrays.h>
#include <meander/kernels/elementwise.h>

namespace meander::kernels {

void flow_times(const FlowTimesArguments& i) {
  const int64_t n = i.rows;
  if (i.draw == FlowTimesDraw::uniform_below) {
    affine(n, 1 - 2 * i.margin, i.margin, i.a, i.t);
    for (int64_t k = 0; k < n; ++k) i.r[k] = i.t[k] * i.b[k];
  } else {
    std::copy_n(i.a, n, i.t), std::copy_n(i.b, n, i.r);
    if (i.draw == FlowTimesDraw::logit_normal)
      for (float* x : {i.t, i.r}) affine(n, i.deviation, i.mean, x, x), sigmoid(n, x, x);
    for (int64_t k = 0; k < n; ++k)
      if (i.t[k] < i.r[k]) std::swap(i.t[k], i.r[k]);
  }
  std::copy_n(i.t, i.equal, i.r);
}

template <class T>
void mean_flow_target(int64_t rows, int64_t cols, int64_t equal, const T* t, const T* r, const T* field,
                      const T* derivative, T* y) {
  std::copy_n(field, equal * cols, y);
  for (int64_t i = equal; i < rows; ++i) {
    const T length = std::clamp(t[i] - r[i], T(0), T(1));
    for (int64_t j = 0; j < cols; ++j)
      y[i * cols + j] = field[i * cols + j] - length * derivative[(i - equal) * cols + j];
  }
}
template void mean_flow_target(int64_t, int64_t, int64_t, const float*, const float*, const float*, const float*, float*);
template void mean_flow_target(int64_t, int64_t, int64_t, const double*, const double*, const double*, const double*,
                               double*);

}  // namespace meander::kernels
