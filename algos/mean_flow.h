#pragma once

#include "core/operations.h"

// The mean-flow pieces the algorithms share. Time runs from t = 1 (noise) to t = 0 (action): x_t = (1 - t) a + t e,
// velocity v = e - a, interval 0 <= r <= t <= 1. The mean velocity over [r, t] is u = 1/(t - r) integral_r^t v, and
//   u = v - (t - r) du/dt          (Geng et al., "Mean flows for one-step generative modeling", 2025, eq. 6)
namespace meander {

// Times of a batch, [B, 1] each. The first rows have r = t, where the identity is plain flow matching; only the last
// `moving` rows have r < t and need du/dt.
struct Interval {
  Tensor t, r;
  int64_t moving;
};

struct IntervalSampler {
  double mean = -0.4, deviation = 1.0;   // of the normals under the sigmoid
  double share_equal = 0.75;             // share of the rows with r = t

  // Two independent sigmoid(mean + deviation N(0, 1)) from the given normals [B, 1]: t the larger, r the smaller.
  Interval operator()(Tensor normal_a, Tensor normal_b) const;
};

// x_t = (1 - t) a + t e
Tensor interpolate(Tensor action, Tensor noise, Tensor t);

// The regression of a mean field f(x, t, h) on the identity f = g - (t - r) df/dt, where g is the field of which f is the
// mean over the interval: g = v for the mean velocity, g = div v for the average divergence. df/dt is the derivative
// along the flow, by forward mode with the tangents (v, 1, 1) of (x, t, h = t - r), for the moving rows only; it has no
// gradient. loss is the mean squared error over all elements.
struct MeanFlowRegression {
  Value loss;          // [1, 1]
  Value mean_field;    // f, [B, m]
  Value derivative;    // df/dt of the moving rows, [moving, m]; absent if there are none
  Value target;        // [B, m]
};

template <class F>
MeanFlowRegression regress_mean_field(F&& f, Tensor x, const Interval& interval, Tensor velocity, Tensor field) {
  const int64_t rows = x.rows, moving = interval.moving, still = rows - moving;
  const Value h = Value(interval.t) - Value(interval.r);
  const Value v = moving ? velocity.slice_rows(still, moving) : Tensor();
  const Value one = moving ? full(moving, 1, 1, x.dtype) : Tensor();

  const auto [mean_field, derivative] = jvp(f, {x, interval.t, h}, {v, one, one});
  const Value correction = clip(slice_rows(h, still, moving), 0, 1) * stop_gradient(derivative);
  const Value target = Value(field) - pad_rows(correction, still, rows);
  return {mean_squared_error(mean_field, target), mean_field, stop_gradient(derivative), target};
}

}  // namespace meander
