#include "algos/mean_flow.h"

namespace meander {

Interval IntervalSampler::operator()(Tensor a, Tensor b) const {
  Value first, second;
  switch (draw) {
    case Draw::logit_normal:
      first = sigmoid(affine(a, deviation, mean)), second = sigmoid(affine(b, deviation, mean));
      break;
    case Draw::uniform:
      first = a, second = b;
      break;
    case Draw::uniform_below:
      first = (1 - 2 * margin) * Value(a) + margin, second = first * Value(b);
      break;
  }
  const Tensor t = maximum(first, second).tensor, r = minimum(first, second).tensor;
  const int64_t still = static_cast<int64_t>(double(t.rows) * share_equal);
  assign(r.slice_rows(0, still), t.slice_rows(0, still));
  return {t, r, t.rows - still};
}

Tensor interpolate(Tensor action, Tensor noise, Tensor t) {
  return mix(t, action, noise).tensor;
}

}  // namespace meander
