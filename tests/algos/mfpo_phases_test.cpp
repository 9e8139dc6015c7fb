// Protects the phases of MFPO: log-density and divergence against closed forms.
#include <meander/algos/mfpo_phases.h>

#include <cmath>
#include <numbers>

#include "batches.h"

using namespace meander;
using namespace meander::testing;

namespace {
constexpr int S = 5, A = 2;
}  // namespace

// ---- the log-density ------------------------------------------------------------------------------------------------
// A flow dx/dt = c x has the divergence A c everywhere and takes the noise z at t = 1 to z exp(-c) at t = 0, so what it
// draws is N(0, exp(-2 c) I). With a divergence network that knows A c the sampler must give that density at that
// point.
TEST_CASE("the log-density of a linear flow, for any number of steps") {
  ArenaScope scope;
  for (const double c : {-0.7, 0.4})
    for (const int64_t steps : {1, 2, 5}) {
      MfpoSettings s;
      s.actor_width = 24, s.actor_layers = 2;
      s.sampling_steps = steps;
      MfpoPhases phases(S, A, s, 3);
      make_constant(phases.networks()[1], A * c);
      const Tensor noise = single(random_matrix(12, A, 1));
      const Tensor log_prob = phases.sample(single(random_matrix(4, S, 2)), noise).log_prob;
      for (int i = 0; i < 12; ++i) {
        const double z0 = noise.f32()[A * i], z1 = noise.f32()[A * i + 1];
        const double x0 = z0 * std::exp(-c), x1 = z1 * std::exp(-c), variance = std::exp(-2 * c);
        const double expected =
            -(x0 * x0 + x1 * x1) / (2 * variance) - std::log(2 * std::numbers::pi * variance);
        CHECK(log_prob.f32()[i] == doctest::Approx(expected).epsilon(2e-6));   // a few roundings of float32
      }
    }
}

// From (x, t) with r = t - 1 / T: x loses u / T and log p gains delta / T, in double by the whole networks.
TEST_CASE("the log-density gains the average divergence of each step, where and when the step begins") {
  ArenaScope scope;
  const FlowNetwork u(S, A, {24, 2}, A, Times::fourier), delta(S, A, {24, 2}, 1, Times::fourier);
  const Tensor noise = random_matrix(8, A, 1), state = random_matrix(4, S, 2);
  const Value states = repeat_rows(state, 2);
  for (const int64_t steps : {1, 2, 5}) {
    MfpoSettings s;
    s.actor_width = 24, s.actor_layers = 2;
    s.sampling_steps = steps;
    MfpoPhases phases(S, A, s, 3);
    const auto sample = phases.sample(single(state), single(noise));
    Value x = noise, log_prob = normal_log_prob(noise), gained = zeros(8, 1, DType::float64);
    for (int64_t i = 0; i < steps; ++i) {
      const Value t = full(1, 1, 1 - double(i) / double(steps), DType::float64);
      const Value r = full(1, 1, 1 - double(i + 1) / double(steps), DType::float64);
      gained = gained + delta(twofold(phases.divergence.tensor()), states, x, t, r) / double(steps);
      x = x - u(twofold(phases.actor.tensor()), states, x, t, r) / double(steps);
    }
    // Float32 keeps about six digits of a network's value.
    CHECK(difference(sample.log_prob, log_prob + gained) < 1e-5);
    CHECK(difference(sample.log_prob, log_prob) > 1e-2);
    CHECK(difference(sample.action, clip(x, -1, 1)) < 1e-5);
  }
}

// Gaussian to Gaussian, a ~ N(m, s^2): x_t has the deviation d(t) = sqrt((1 - t)^2 s^2 + t^2), the divergence is
// A d'/d, and its mean over [r, t] is A log(d(t) / d(r)) / (t - r). The identity that the divergence network is trained
// on must hold for it, and the steps' sum must give the density of N(m, s^2).
TEST_CASE("the average divergence of a Gaussian flow satisfies the identity and adds up to the log-density") {
  ArenaScope scope;
  const double m = 0.4, s = 0.3;
  const auto deviation = [&](Value t) { return sqrt((s * s) * square(1 - t) + square(t)); };
  const auto delta = [&](Value, Value t, Value r) { return A * (log(deviation(t) / deviation(r)) / (t - r)); };
  const auto column = [](double a, double b) {
    const Tensor x = empty(2, 1, DType::float64);
    x.as<double>()[0] = a, x.as<double>()[1] = b;
    return x;
  };
  const FlowTimes time{column(0.9, 0.5), column(0.2, 0.45), 2};
  const Value t = time.t, share = (t - (s * s) * (1 - t)) / square(deviation(t));
  const Tensor x = random_matrix(2, A, 1), velocity = (share * (x - m * (1 - t)) - m).detached;
  const Tensor divergence = (A * share).detached;
  const MeanFlowIdentity i = mean_flow_identity(delta, x, time, velocity, divergence);
  CHECK(difference(i.mean_field, i.target) < 1e-12);

  const Value one = full(1, 1, 1, DType::float64), middle = 0.3 * one, zero = 0 * one;
  const double sum = 0.7 * element(delta(x, one, middle), 0) + 0.3 * element(delta(x, middle, zero), 0);
  const double z = 0.8, a = m + s * z;   // where the flow takes z
  const double log_normal = -0.5 * z * z - 0.5 * std::log(2 * std::numbers::pi);
  const double log_density = -0.5 * std::pow((a - m) / s, 2) - 0.5 * std::log(2 * std::numbers::pi * s * s);
  CHECK(log_normal + sum / A == doctest::Approx(log_density).epsilon(1e-12));
}

// With the N = A probes sqrt(A) e_i the mean of z' J z is the trace itself: against central differences in double.
TEST_CASE("Hutchinson's estimate with a full set of probes is the divergence") {
  ArenaScope scope;
  MfpoSettings s;
  s.actor_width = 24, s.actor_layers = 2;
  const MfpoPhases phases(S, A, s, 3);
  const Tensor state = random_matrix(4, S, 1), x = random_matrix(4, A, 2), t = random_matrix(4, 1, 3, 0.1, 0.5);
  const Tensor probe = zeros(4 * A, A);
  for (int i = 0; i < 4 * A; ++i) probe.f32()[i * A + i % A] = static_cast<float>(std::sqrt(double(A)));
  const auto estimate = phases.divergence_of_velocity(single(state), single(x), single(t), probe);

  const FlowNetwork net(S, A, {24, 2}, A, Times::fourier);
  const Tensor params = cast(phases.actor.tensor(), DType::float64);
  Value trace = zeros(4, 1, DType::float64);
  for (int j = 0; j < A; ++j) {
    const Tensor step = zeros(1, A, DType::float64);
    step.as<double>()[j] = 1e-5;
    const Value difference = net(params, state, Value(x) + step, t, Value()) -
                             net(params, state, Value(x) - step, t, Value());
    trace = trace + slice_columns(difference, j, 1) / 2e-5;
  }
  // float32 times, states and weights: 1e-6 of values around 1, through two layers and as many norms.
  CHECK(difference(estimate.estimate, trace) < 2e-5);
  CHECK(difference(estimate.velocity, net(params, state, x, t, Value())) < 2e-5);
}
