// Protects the mean-flow identity, its direction of time included, against a flow whose mean velocity is known, and the
// sampler of intervals.
#include <meander/algos/mean_flow.h>

#include <cmath>

#include "../core/derivatives.h"

using namespace meander;
using namespace meander::testing;

namespace {
// Gaussian to Gaussian: a ~ N(m, s^2) and e ~ N(0, 1) independent. x_t ~ N((1 - t) m, sigma_t^2) with
// sigma_t^2 = (1 - t)^2 s^2 + t^2, and the flow keeps the standard score: (x_t - mean_t) / sigma_t is constant along it.
struct GaussianFlow {
  double m, s;

  Value deviation(Value t) const { return sqrt((s * s) * square(1 - t) + square(t)); }
  Value velocity(Value x, Value t) const {   // E[e - a | x_t = x]
    return (t - (s * s) * (1 - t)) / square(deviation(t)) * (x - m * (1 - t)) - m;
  }
  Value at(Value x, Value t, Value r) const {   // where the path through (x, t) is at time r
    return m * (1 - r) + deviation(r) * ((x - m * (1 - t)) / deviation(t));
  }
  Value mean_velocity(Value x, Value t, Value r) const { return (x - at(x, t, r)) / (t - r); }
};

Tensor column(std::initializer_list<double> numbers) {
  const Tensor x = empty(static_cast<int64_t>(numbers.size()), 1, DType::float64);
  std::copy(numbers.begin(), numbers.end(), x.as<double>());
  return x;
}
}  // namespace

// The convention of all three algorithms: t = 1 is noise, t = 0 the action, r <= t.
TEST_CASE("the identity holds for the mean velocity of a Gaussian flow, and one step of it makes exact samples") {
  ArenaScope scope;
  const GaussianFlow flow{0.4, 0.3};
  const auto u = [&](Value x, Value t, Value r) { return flow.mean_velocity(x, t, r); };
  const Tensor x = random_matrix(3, 2, 1);
  const FlowTimes all{column({1.0, 0.8, 0.5}), column({0.0, 0.4, 0.45}), 3};
  const Tensor v = flow.velocity(x, all.t).detached;
  const MeanFlowIdentity i = mean_flow_identity(u, x, all, v, v);
  CHECK(difference(i.mean_field, i.target) < 1e-12);
  // du/dt along the path, by central differences of the closed form.
  const double step = 1e-5;
  const auto along = [&](double by) {
    const Value later = Value(all.t) + by;
    return u(flow.at(x, all.t, later), later, all.r);
  };
  CHECK(difference(i.derivative, (along(step) - along(-step)) / (2 * step)) < 1e-8);
  // Reversed time (a target v + (t - r) du/dt) would miss by far.
  const Value h = Value(all.t) - Value(all.r);
  CHECK(difference(i.mean_field, Value(v) + h * i.derivative) > 0.03);

  // action = e - u(e, t = 1, r = 0) = m + s e; two steps give the same.
  const Value e = random_matrix(50, 1, 3), one = full(1, 1, 1, DType::float64), half = full(1, 1, 0.5, DType::float64);
  const Value zero = zeros(1, 1, DType::float64), exact = 0.3 * e + 0.4;
  CHECK(difference(e - u(e, one, zero), exact) < 1e-14);
  const Value middle = e - 0.5 * u(e, one, half);
  CHECK(difference(middle - 0.5 * u(middle, half, zero), exact) < 1e-14);
}

TEST_CASE("rows with r = t regress on the velocity itself, without a derivative") {
  ArenaScope scope;
  const GaussianFlow flow{0.4, 0.3};
  const auto u = [&](Value x, Value t, Value r) { return flow.mean_velocity(x, t, r - 1e-9); };
  const Tensor x = random_matrix(3, 2, 1);
  const FlowTimes last{column({0.9, 0.8, 0.5}), column({0.9, 0.4, 0.45}), 2};
  const Tensor v = flow.velocity(x, last.t).detached;
  const MeanFlowIdentity i = mean_flow_identity(u, x, last, v, v);
  CHECK(i.derivative.rows() == 2);
  CHECK(difference(slice_rows(i.target, 0, 1), v.slice_rows(0, 1)) == 0);
  CHECK(difference(i.mean_field, i.target) < 1e-6);

  const FlowTimes none{last.t, last.t, 0};
  const MeanFlowIdentity still = mean_flow_identity(u, x, none, v, v);
  CHECK(!still.derivative);
  CHECK(difference(still.target, v) == 0);
}

TEST_CASE("the gradient of the regression flows through the mean field alone") {
  ArenaScope scope;
  const Tensor x = random_matrix(4, 2, 1), v = random_matrix(4, 2, 2);
  const FlowTimes time{column({0.9, 0.8, 0.5, 0.7}), column({0.9, 0.8, 0.45, 0.2}), 2};
  const auto loss = [&](Value a) {
    const auto field = [&](Value x, Value t, Value r) { return a * x * (t + exp(r)); };
    const MeanFlowIdentity m = mean_flow_identity(field, x, time, v, v);
    return Values<3>{mean_squared_error(m.mean_field, m.target), m.mean_field, m.target};
  };
  const auto [out, gradient] = value_and_grad(loss, full(1, 1, 0.7, DType::float64));
  // d/da mean (f - target)^2 with the target held: mean of 2 (f - target) f / a
  const Value expected = mean_all(2 * (out[1] - out[2]) * out[1]) / 0.7;
  CHECK(difference(gradient, expected) < 1e-12);
}

TEST_CASE("intervals: the logistic of normals, ordered, r = t in the leading share") {
  ArenaScope scope;
  const Tensor a = cast(random_matrix(100, 1, 1), DType::float32), b = cast(random_matrix(100, 1, 2), DType::float32);
  const FlowTimes time = FlowTimesSampler{}(a, b);
  CHECK(time.unequal == 25);
  for (int i = 0; i < 100; ++i) {
    const double p = 1 / (1 + std::exp(0.4 - double(a.f32()[i]))), q = 1 / (1 + std::exp(0.4 - double(b.f32()[i])));
    CHECK(time.t.f32()[i] == doctest::Approx(std::max(p, q)).epsilon(1e-6));
    CHECK(time.r.f32()[i] == doctest::Approx(i < 75 ? std::max(p, q) : std::min(p, q)).epsilon(1e-6));
  }
  CHECK(FlowTimesSampler{.share_equal = 1}(a, b).unequal == 0);

  const Tensor p = sigmoid(a).detached, q = sigmoid(b).detached;   // as if uniform
  const FlowTimes pair = FlowTimesSampler{.draw = FlowTimesSampler::Draw::uniform, .share_equal = 0}(p, q);
  const FlowTimes below = FlowTimesSampler{.draw = FlowTimesSampler::Draw::uniform_below, .share_equal = 0.5}(p, q);
  CHECK(below.unequal == 50);
  for (int i = 0; i < 100; ++i) {
    CHECK(pair.t.f32()[i] == std::max(p.f32()[i], q.f32()[i]));
    CHECK(pair.r.f32()[i] == std::min(p.f32()[i], q.f32()[i]));
    CHECK(below.t.f32()[i] == doctest::Approx(0.001 + 0.998 * p.f32()[i]));
    CHECK(below.r.f32()[i] == doctest::Approx(below.t.f32()[i] * (i < 50 ? 1 : q.f32()[i])));
  }
}

TEST_CASE("interpolation runs from the action at t = 0 to the noise at t = 1") {
  ArenaScope scope;
  const Tensor a = full(3, 2, 1), e = full(3, 2, -1), t = cast(column({0, 0.25, 1}), DType::float32);
  const Tensor x = interpolate(a, e, t);
  CHECK(x.f32()[0] == 1);
  CHECK(x.f32()[2] == 0.5f);
  CHECK(x.f32()[4] == -1);
}
