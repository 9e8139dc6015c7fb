#include "algos/mean_flow.h"

namespace meander {

Interval IntervalSampler::operator()(Tensor normal_a, Tensor normal_b) const {
  const Value a = sigmoid(deviation * Value(normal_a) + mean), b = sigmoid(deviation * Value(normal_b) + mean);
  const Tensor t = maximum(a, b).tensor, r = minimum(a, b).tensor;
  const int64_t still = static_cast<int64_t>(double(t.rows) * share_equal);
  std::copy_n(t.f32(), still, r.f32());
  return {t, r, t.rows - still};
}

Tensor interpolate(Tensor action, Tensor noise, Tensor t) {
  return ((1 - Value(t)) * Value(action) + Value(t) * Value(noise)).tensor;
}

}  // namespace meander
