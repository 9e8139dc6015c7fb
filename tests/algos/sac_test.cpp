// Protects SAC's own: the density of its squashed Gaussian, its losses and targets against computations in double, the
// temperature's direction and how it acts.
#include <meander/algos/sac.h>

#include <cmath>
#include <numbers>

#include "batches.h"

using namespace meander;
using namespace meander::testing;

namespace {

constexpr int S = 5, A = 2, B = 32;
constexpr uint64_t seed = 3;

SacSettings small() {
  SacSettings s;
  s.batch_size = B;
  s.width = 16;
  s.discount = 0.9;
  s.alpha = 0.3;
  return s;
}

const Hidden hidden = {16, 2, kernels::Activation::relu, kernels::Norm::none, Initial::fan_in_uniform};

// The policy in double, from the layer-by-layer composite: mean and log sigma side by side.
Value head(Value params, Value state, int actions = A) {
  ParameterLayout layout;
  return mlp_composite(add_mlp(layout, state.cols(), hidden, 2 * actions), params, state);
}
struct Drawn {
  Value action, log_prob;
};
Drawn policy(Value params, Value state, Value noise) {
  const Value out = head(params, state), sigma = exp(clip(slice_columns(out, A, A), -20, 2));
  const Value x = slice_columns(out, 0, A) + sigma * noise, a = tanh(x);
  const Value normal = -0.5 * square(noise) - log(sigma) - 0.5 * std::log(2 * std::numbers::pi);
  return {a, sum_row(normal - log(1 - square(a) + 1e-6))};
}

// Networks of two hidden layers in float32 keep about six digits.
constexpr double rounding = 1e-5;

}  // namespace

// a = tanh(x) of x ~ N(mean, sigma^2): log pi(a) = log N(x) - log(1 - a^2), number by number. The 1e-6 that keeps the
// second logarithm finite lowers it by at most 1e-6 / (1 - a^2).
TEST_CASE("the log-probability is that of the squashed Gaussian") {
  ArenaScope scope;
  Sac agent(S, A, small(), seed);
  const Tensor params = in_double(agent, "actor/"), state = random_matrix(B, S, 1), noise = random_matrix(B, A, 2);
  const Sac::Sample sample = agent.sample(params, state, noise);
  const Value out = head(params, state);
  for (int i = 0; i < B; ++i) {
    double log_prob = 0, allowed = 1e-12;
    for (int j = 0; j < A; ++j) {
      const double mean = element(out, i * 2 * A + j), sigma = std::exp(element(out, i * 2 * A + A + j));
      const double x = mean + sigma * noise.as<double>()[i * A + j], a = std::tanh(x);
      CHECK(element(sample.action, i * A + j) == doctest::Approx(a).epsilon(1e-12));
      log_prob -= 0.5 * std::pow((x - mean) / sigma, 2) + std::log(sigma * std::sqrt(2 * std::numbers::pi));
      log_prob -= std::log(1 - a * a);
      allowed += 1e-6 / (1 - a * a);
    }
    CHECK(std::abs(element(sample.log_prob, i) - log_prob) < allowed);
  }
}

TEST_CASE("the density of one action integrates to 1 over (-1, 1)") {
  ArenaScope scope;
  SacSettings s = small();
  Sac agent(S, 1, s, seed);
  constexpr int n = 4001;
  const Tensor state = repeat_rows(random_matrix(1, S, 1), n).detached, noise = empty(n, 1, DType::float64);
  for (int i = 0; i < n; ++i) noise.as<double>()[i] = -8 + 16.0 * i / (n - 1);
  const Sac::Sample sample = agent.sample(in_double(agent, "actor/"), state, noise);
  double integral = 0;
  for (int i = 0; i + 1 < n; ++i)
    integral += (element(sample.action, i + 1) - element(sample.action, i)) *
                0.5 * (std::exp(element(sample.log_prob, i)) + std::exp(element(sample.log_prob, i + 1)));
  // The trapezoid of 4,000 pieces, and the 1e-6 beside 1 - a^2.
  CHECK(integral == doctest::Approx(1).epsilon(1e-4));
}

TEST_CASE("log sigma stays within [-20, 2]") {
  ArenaScope scope;
  for (const double raw : {5.0, -30.0}) {
    Sac agent(S, A, small(), seed);
    make_constant(agent, "actor/", raw);   // mean and log sigma
    const Tensor noise = full(1, A, 0.5, DType::float64), state = random_matrix(1, S, 1);
    const double bounded = std::clamp(raw, -20.0, 2.0), x = raw + 0.5 * std::exp(bounded);
    const Sac::Sample sample = agent.sample(in_double(agent, "actor/"), state, noise);
    CHECK(element(sample.action, 0) == doctest::Approx(std::tanh(x)).epsilon(1e-12));
    const double each = -0.125 - bounded - 0.5 * std::log(2 * std::numbers::pi) -
                        std::log(1 - std::tanh(x) * std::tanh(x) + 1e-6);
    CHECK(element(sample.log_prob, 0) == doctest::Approx(A * each).epsilon(1e-9));
  }
}

// mean(alpha log pi - Q) and its gradient, for a Q that is given, against the same in double; the gradient itself
// against central differences there.
TEST_CASE("the actor's gradient") {
  ArenaScope scope;
  Sac agent(S, A, small(), seed);
  const Tensor params = in_double(agent, "actor/"), state = random_matrix(B, S, 1);
  const float best[A] = {0.5f, -0.25f};
  const auto q = [&](Value a) { return -2 * sum_row(square(a - Value(cast(view(best, 1, A), a.dtype())))); };
  const Tensor noise = twofold(agent_normals(seed, Purpose::policy_noise, 1, B, A));
  const auto loss = [&](Value p) {
    const Drawn drawn = policy(p, state, noise);
    return mean_column(0.3 * drawn.log_prob - q(drawn.action));
  };
  const Value gradient = grad(loss, params);
  const Tensor d = random_matrix(1, params.size(), 4);
  const double slope =
      (element(loss(Value(params) + 1e-6 * Value(d)), 0) - element(loss(Value(params) - 1e-6 * Value(d)), 0)) / 2e-6;
  CHECK(dot(gradient, d) == doctest::Approx(slope).epsilon(1e-6));

  agent.improve_policy([&](Value, Value a) { return q(a); }, single(state), 1);
  CHECK(difference(first_gradient(agent, "actor/"), gradient) < 5 * rounding);
}

// y = r + gamma mask (min Q' - alpha log pi(a'|s')); the loss is half the mean squared error.
TEST_CASE("the critics' target") {
  ArenaScope scope;
  Sac agent(S, A, small(), seed);
  const Data data = random_batch(B, S, A, 5);
  make_constant(agent, "target1/", 3);
  make_constant(agent, "target2/", 2);
  make_constant(agent, "critic1/", -1);
  make_constant(agent, "critic2/", 0.5);
  const Value log_prob = policy(in_double(agent, "actor/"), twofold(data.batch.next_state),
                                twofold(agent_normals(seed, Purpose::next_action, 1, B, A))).log_prob;
  double sum[2] = {};
  for (int i = 0; i < B; ++i) {
    const double y = data.batch.reward.f32()[i] + 0.9 * data.batch.mask.f32()[i] * (2 - 0.3 * element(log_prob, i));
    sum[0] += 0.5 * (-1 - y) * (-1 - y) / B, sum[1] += 0.5 * (0.5 - y) * (0.5 - y) / B;
  }
  const std::vector<float> metrics = update(agent, data.batch);
  for (int i : {0, 1}) CHECK(metrics[static_cast<size_t>(i)] == doctest::Approx(sum[i]).epsilon(rounding));
}

// The actor climbs the smaller of the critics that have just been updated; then the targets follow those.
TEST_CASE("the order of an update") {
  ArenaScope scope;
  SacSettings s = small();
  s.target_rate = 0.25, s.learning_rate = 0.01;
  Sac agent(S, A, s, seed);
  const Data data = random_batch(B, S, A, 5);
  const Tensor actor = in_double(agent, "actor/");
  const std::vector<float> target = parameters(agent, "target1/");
  const std::vector<float> metrics = update(agent, data.batch);
  ParameterLayout layout;
  const kernels::MlpShape trunk = add_mlp(layout, S + A, hidden, 1);
  const Tensor state = twofold(data.batch.state);
  const Drawn drawn = policy(actor, state, twofold(agent_normals(seed, Purpose::policy_noise, 1, B, A)));
  const auto q = [&](const char* name) {
    return mlp_composite(trunk, in_double(agent, name), concat_columns(state, drawn.action));
  };
  const Value smaller = minimum(q("critic1/"), q("critic2/"));
  CHECK(metric(agent, metrics, "q_mean") == doctest::Approx(element(mean_all(smaller), 0)).epsilon(rounding));
  const Value loss = mean_all(0.3 * drawn.log_prob - smaller);
  CHECK(metric(agent, metrics, "actor_loss") == doctest::Approx(element(loss, 0)).epsilon(rounding));
  CHECK(metric(agent, metrics, "entropy") == doctest::Approx(-element(mean_all(drawn.log_prob), 0)).epsilon(rounding));
  CHECK(metric(agent, metrics, "alpha") == doctest::Approx(0.3));   // of before the update
  const std::vector<float> online = parameters(agent, "critic1/"), followed = parameters(agent, "target1/");
  for (size_t i = 0; i < online.size(); ++i)
    CHECK(followed[i] == doctest::Approx(0.75 * target[i] + 0.25 * online[i]).epsilon(1e-6));
}

// Too much entropy lowers the temperature, too little raises it: by Adam's rate in the first step.
TEST_CASE("the temperature's direction") {
  const Data data = random_batch(B, S, A, 5);
  const auto log_alpha_after = [&](double target, bool tune) {
    SacSettings s = small();
    s.target_entropy_per_action = target, s.tune_alpha = tune, s.learning_rate = 0.01;
    Sac agent(S, A, s, seed);
    update(agent, data.batch);
    return double(parameters(agent, "temperature/")[0]);
  };
  CHECK(log_alpha_after(-10, true) == doctest::Approx(std::log(0.3) - 0.01).epsilon(1e-4));
  CHECK(log_alpha_after(10, true) == doctest::Approx(std::log(0.3) + 0.01).epsilon(1e-4));
  CHECK(log_alpha_after(10, false) == doctest::Approx(std::log(0.3)).epsilon(1e-6));
}

TEST_CASE("evaluation takes tanh(mean), exploration a sample") {
  ArenaScope scope;
  Sac agent(S, A, small(), seed);
  const Tensor state = single(random_matrix(1, S, 1)), params = in_double(agent, "actor/");
  const Value mean = slice_columns(head(params, twofold(state)), 0, A);
  float action[A];
  for (uint64_t i = 0; i < 3; ++i) {
    agent.act(std::span(state.f32(), S), i, action);
    CHECK(difference(view(action, 1, A), tanh(mean)) < rounding);
    agent.explore(std::span(state.f32(), S), i, action);
    const Drawn drawn = policy(params, twofold(state), twofold(agent_normals(seed, Purpose::explore, i, 1, A)));
    CHECK(difference(view(action, 1, A), drawn.action) < rounding);
  }
}
