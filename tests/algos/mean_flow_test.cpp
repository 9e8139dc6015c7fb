// Protects the mean-flow identity, its direction of time included, against a flow whose mean velocity is known, and the
// sampler of intervals.
#include "algos/mean_flow.h"

#include <cmath>

#include "../core/derivatives.h"

using namespace meander;
using namespace meander::testing;

namespace {
// The flow dx/dt = c x: from (x, t) back over h the path is x exp(-c s), so the mean velocity over [t - h, t] is
// u = x (1 - exp(-c h)) / h.
constexpr double c = 1.7;
Value mean_velocity(Value x, Value, Value h) { return x * ((1 - exp(-c * h)) / h); }

Tensor column(std::initializer_list<double> numbers) {
  const Tensor x = empty(static_cast<int64_t>(numbers.size()), 1, DType::float64);
  std::copy(numbers.begin(), numbers.end(), x.as<double>());
  return x;
}
}  // namespace

TEST_CASE("the mean velocity of a known flow meets the identity, with time running from noise to action") {
  ArenaScope scope;
  const Tensor x = random_matrix(3, 2, 1), v = (c * Value(x)).tensor;
  const Interval all{column({0.9, 0.8, 0.5}), column({0.1, 0.4, 0.45}), 3};
  const MeanFlowRegression m = regress_mean_field(mean_velocity, x, all, v, v);
  CHECK(m.loss.tensor.as<double>()[0] < 1e-20);
  // Reversed time (target v + h du/dt) would miss by far.
  const Value h = Value(all.t) - Value(all.r);
  CHECK(difference(m.mean_field, Value(v) + h * m.derivative) > 0.1);

  // With r = t in the first row (where h = 0) only the last rows move; the target of the others is the velocity.
  const Interval last{column({0.9, 0.8, 0.5}), column({0.9, 0.4, 0.45}), 2};
  const auto safe = [](Value x, Value t, Value h) { return mean_velocity(x, t, h + 1e-9); };
  const MeanFlowRegression r = regress_mean_field(safe, x, last, v, v);
  CHECK(r.derivative.rows() == 2);
  CHECK(difference(slice_rows(r.target, 0, 1), v.slice_rows(0, 1)) == 0);
  CHECK(difference(slice_rows(r.target, 1, 2), slice_rows(m.target, 1, 2)) < 1e-6);

  const Interval none{all.t, all.t, 0};
  const MeanFlowRegression still = regress_mean_field(safe, x, none, v, v);
  CHECK(!still.derivative);
  CHECK(difference(still.target, v) == 0);
}

TEST_CASE("the gradient of the regression flows through the mean field alone") {
  ArenaScope scope;
  const Tensor x = random_matrix(4, 2, 1), v = random_matrix(4, 2, 2);
  const Interval time{column({0.9, 0.8, 0.5, 0.7}), column({0.9, 0.8, 0.45, 0.2}), 2};
  const auto loss = [&](Value a) {
    const auto field = [&](Value x, Value t, Value h) { return a * x * (t + exp(h)); };
    const MeanFlowRegression m = regress_mean_field(field, x, time, v, v);
    return Values<3>{m.loss, m.mean_field, m.target};
  };
  const auto [out, gradient] = value_and_grad(loss, full(1, 1, 0.7, DType::float64));
  // d/da mean (f - target)^2 with the target held: mean of 2 (f - target) f / a
  const Value expected = mean_all(2 * (out[1] - out[2]) * out[1]) / 0.7;
  CHECK(difference(gradient, expected) < 1e-12);
}

TEST_CASE("intervals: the logistic of normals, ordered, r = t in the leading share") {
  ArenaScope scope;
  const Tensor a = cast(random_matrix(100, 1, 1), DType::float32), b = cast(random_matrix(100, 1, 2), DType::float32);
  const Interval time = IntervalSampler{}(a, b);
  CHECK(time.moving == 25);
  for (int i = 0; i < 100; ++i) {
    const double p = 1 / (1 + std::exp(0.4 - double(a.f32()[i]))), q = 1 / (1 + std::exp(0.4 - double(b.f32()[i])));
    CHECK(time.t.f32()[i] == doctest::Approx(std::max(p, q)).epsilon(1e-6));
    CHECK(time.r.f32()[i] == doctest::Approx(i < 75 ? std::max(p, q) : std::min(p, q)).epsilon(1e-6));
  }
  CHECK(IntervalSampler{0, 1, 1}(a, b).moving == 0);
}

TEST_CASE("interpolation runs from the action at t = 0 to the noise at t = 1") {
  ArenaScope scope;
  const Tensor a = full(3, 2, 1), e = full(3, 2, -1), t = cast(column({0, 0.25, 1}), DType::float32);
  const Tensor x = interpolate(a, e, t);
  CHECK(x.f32()[0] == 1);
  CHECK(x.f32()[2] == 0.5f);
  CHECK(x.f32()[4] == -1);
}
