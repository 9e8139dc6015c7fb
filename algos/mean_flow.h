#pragma once

#include <meander/core/operations.h>
#include <meander/kernels/mean_flow.h>

// The mean-flow pieces the algorithms share. Time runs from t = 1 (noise) to t = 0 (action): x_t = (1 - t) a + t e,
// velocity v = e - a, interval 0 <= r <= t <= 1. The mean velocity over [r, t] is u = 1/(t - r) integral_r^t v, and
//   u = v - (t - r) du/dt          (Geng et al., "Mean flows for one-step generative modeling", 2025, eq. 6)
namespace meander {

// Times of a batch, [B, 1] each. The first rows have r = t, where the identity is plain flow matching; only the last
// `unequal` rows have r < t and need du/dt.
struct FlowTimes {
  Tensor t, r;
  int64_t unequal;
};

// How t and r are drawn from two columns of random numbers [B, 1].
struct FlowTimesSampler {
  using Draw = kernels::FlowTimesDraw;    // logit_normal from normals, uniform and uniform_below from uniforms
  Draw draw = Draw::logit_normal;
  double mean = -0.4, deviation = 1.0;
  double share_equal = 0.75;             // share of the rows with r = t
  static constexpr double margin = 1e-3;

  bool from_normals() const { return draw == Draw::logit_normal; }   // what a and b are
  FlowTimes operator()(Tensor a, Tensor b) const;
};

// x_t = (1 - t) a + t e
Tensor interpolate(Tensor action, Tensor noise, Tensor t);

// g - (t - r) dfdt in the unequal rows, dfdt [unequal, m], and g [B, m] in the others.
Tensor mean_flow_target(const FlowTimes& times, Tensor g, Tensor dfdt);

// A mean field f(x, t, r) held against the identity f = g - (t - r) df/dt, where g is the field of which f is the mean
// over the interval: g = v for the mean velocity, g = div v for the average divergence. df/dt is the derivative along
// the flow, by forward mode with the tangents (v, 1, 0) of (x, t, r), for the unequal rows only. The target has no
// gradient: what is left for the caller is the loss between mean_field and target.
struct MeanFlowIdentity {
  Value mean_field;    // f, [B, m]
  Value derivative;    // df/dt of the unequal rows, [unequal, m]; absent if there are none
  Value target;        // [B, m]
};

template <class F>
MeanFlowIdentity mean_flow_identity(F&& f, Tensor x, const FlowTimes& times, Tensor velocity, Tensor field) {
  const int64_t rows = x.rows, unequal = times.unequal, equal = rows - unequal;
  const Value v = unequal ? velocity.slice_rows(equal, unequal) : Tensor();
  const Value one = unequal ? full(unequal, 1, 1, x.dtype) : Tensor();

  const auto [mean_field, derivative] = jvp(f, {x, times.t, times.r}, {v, one, Value()});
  const Value slope = stop_gradient(derivative);
  return {mean_field, slope, mean_flow_target(times, field, slope.detached)};
}

}  // namespace meander
