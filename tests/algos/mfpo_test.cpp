// Protects MFPO's own: every switch, what it logs, and its log-density and divergence against closed forms.
#include <meander/algos/mfpo.h>

#include <cmath>
#include <numbers>

#include "batches.h"

using namespace meander;
using namespace meander::testing;

namespace {

constexpr int S = 5, A = 2;

MfpoSettings small() {
  MfpoSettings s;
  s.batch_size = 32;
  s.actor_width = s.critic_width = 24;
  s.actor_layers = s.critic_layers = 2;
  s.policy_proposals = 4;
  s.gaussian_proposals = 6;
  s.atoms = 21;
  s.v_min = -5;
  s.v_max = 5;
  s.alpha = 0.1;
  return s;
}

void train(Mfpo& agent, uint64_t updates, std::vector<float>& metrics) {
  metrics.resize(agent.metric_names().size());
  for (uint64_t u = 1; u <= updates; ++u) agent.update(random_batch(32, S, A, 100 + u).batch, u, metrics);
}

}  // namespace

TEST_CASE("switches do what they say") {
  std::vector<float> metrics;
  const auto run = [&](auto change) {
    MfpoSettings s = small();
    change(s);
    auto agent = std::make_unique<Mfpo>(S, A, s, 3);
    train(*agent, 3, metrics);
    for (float x : metrics) CHECK(std::isfinite(x));
    return agent;
  };
  const auto unchanged = run([](MfpoSettings&) {});
  CHECK(metric(*unchanged, metrics, "lambda") > 0);
  CHECK(metric(*unchanged, metrics, "lambda") < 1);
  CHECK(metric(*unchanged, metrics, "ess1") <= 4.001f);
  CHECK(metric(*unchanged, metrics, "ess2") <= 6.001f);
  CHECK(unchanged->alpha() != doctest::Approx(0.1).epsilon(1e-6));

  const auto policy = run([](MfpoSettings& s) { s.proposals = "policy"; });
  CHECK(metric(*policy, metrics, "lambda") == 1);
  CHECK(metric(*policy, metrics, "ess2") == 0);
  const auto gaussian = run([](MfpoSettings& s) { s.proposals = "gaussian"; });
  CHECK(metric(*gaussian, metrics, "lambda") == 0);
  const auto fixed = run([](MfpoSettings& s) { s.tune_alpha = false; });
  CHECK(fixed->alpha() == doctest::Approx(0.1));
  const auto floor = run([](MfpoSettings& s) { s.alpha_floor = 0.5; });
  CHECK(floor->alpha() == 0.5);
  const auto no_divergence = run([](MfpoSettings& s) { s.divergence_network = false; });
  CHECK(metric(*no_divergence, metrics, "divergence_loss") == 0);
  const auto one_step = run([](MfpoSettings& s) { s.sampling_steps = 1; });
  const auto five_steps = run([](MfpoSettings& s) { s.sampling_steps = 5; });
  CHECK(all_parameters(*one_step) != all_parameters(*five_steps));
  const auto mean_of_critics = run([](MfpoSettings& s) { s.clipped_double_q = false; });
  CHECK(all_parameters(*mean_of_critics) != all_parameters(*unchanged));
  run([](MfpoSettings& s) { s.share_equal_times = 1; });
  run([](MfpoSettings& s) { s.share_equal_times = 0; });
  run([](MfpoSettings& s) { s.probes = 1; });

  // bfloat16 rounds two factors by 2^-9 each; three updates with it stay that near.
  Mfpo exact(S, A, small(), 3);
  train(exact, 3, metrics);
  const float q_mean = metric(exact, metrics, "q_mean"), entropy = metric(exact, metrics, "entropy");
  const auto scoring = run([](MfpoSettings& s) { s.scoring_precision = "bfloat16"; });
  CHECK(metric(*scoring, metrics, "q_mean") == doctest::Approx(q_mean).epsilon(0.02));
  const auto proposals = run([](MfpoSettings& s) { s.drawing_precision = s.scoring_precision = "bfloat16"; });
  CHECK(metric(*proposals, metrics, "entropy") == doctest::Approx(entropy).epsilon(0.02));
  CHECK(all_parameters(*scoring) != all_parameters(*unchanged));
  CHECK(all_parameters(*proposals) != all_parameters(*scoring));
}

// Eight bits of each factor: 3 % of an action, and never the same.
TEST_CASE("acting in bfloat16 is near acting in float32") {
  MfpoSettings half = small();
  half.acting_precision = "bfloat16";
  Mfpo agent(S, A, half, 3), reference(S, A, small(), 3);
  const std::vector<float> state(S, 0.3f);
  std::vector<float> a(A), exact(A);
  agent.explore(state, 5, a);
  reference.explore(state, 5, exact);
  for (int j = 0; j < A; ++j) CHECK(a[j] == doctest::Approx(exact[j]).epsilon(0.03));
  CHECK(a != exact);
}

TEST_CASE("rewards beyond the support are counted at the right end") {
  Mfpo agent(S, A, small(), 3);
  std::vector<float> metrics(agent.metric_names().size());
  const Data data = bandit(32, S, A, 1, [](const float*) { return -7; });
  agent.update(data.batch, 1, metrics);
  CHECK(metric(agent, metrics, "clipped_low") == doctest::Approx(1));
  CHECK(metric(agent, metrics, "clipped_high") == 0);
}

// ---- the log-density ------------------------------------------------------------------------------------------------
// A flow dx/dt = c x has the divergence A c everywhere and takes the noise z at t = 1 to z exp(-c) at t = 0, so what it
// draws is N(0, exp(-2 c) I). With a divergence network that knows A c the sampler must give that density at that
// point.
TEST_CASE("the log-density of a linear flow, for any number of steps") {
  ArenaScope scope;
  for (const double c : {-0.7, 0.4})
    for (const int64_t steps : {1, 2, 5}) {
      MfpoSettings s = small();
      s.sampling_steps = steps;
      Mfpo agent(S, A, s, 3);
      make_constant(agent, "divergence/", A * c);
      const Tensor noise = single(random_matrix(12, A, 1));
      const Tensor log_prob = agent.sample(single(random_matrix(4, S, 2)), noise).log_prob;
      for (int i = 0; i < 12; ++i) {
        const double z0 = noise.f32()[A * i], z1 = noise.f32()[A * i + 1];
        const double x0 = z0 * std::exp(-c), x1 = z1 * std::exp(-c), variance = std::exp(-2 * c);
        const double expected =
            -(x0 * x0 + x1 * x1) / (2 * variance) - std::log(2 * std::numbers::pi * variance);
        CHECK(log_prob.f32()[i] == doctest::Approx(expected).epsilon(2e-6));   // a few roundings of float32
      }
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
  const Interval time{column(0.9, 0.5), column(0.2, 0.45), 2};
  const Value t = time.t, share = (t - (s * s) * (1 - t)) / square(deviation(t));
  const Tensor x = random_matrix(2, A, 1), velocity = (share * (x - m * (1 - t)) - m).tensor;
  const Tensor divergence = (A * share).tensor;
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
  Mfpo agent(S, A, small(), 3);
  const Tensor state = random_matrix(4, S, 1), x = random_matrix(4, A, 2), t = random_matrix(4, 1, 3, 0.1, 0.5);
  const Tensor probe = zeros(4 * A, A);
  for (int i = 0; i < 4 * A; ++i) probe.f32()[i * A + i % A] = static_cast<float>(std::sqrt(double(A)));
  const auto estimate = agent.hutchinson(single(state), single(x), single(t), probe);

  const FlowNetwork net(S, A, {24, 2}, A, Times::fourier);
  const Tensor params = in_double(agent, "actor/");
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
