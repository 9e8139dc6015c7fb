// Protects what FQL has of its own: the one-step policy's loss, worked by hand and against plain computations in
// double, which gradient reaches which network, and an update's draws. (What it shares with QC: qc_test.cpp.)
#include <meander/algos/fql.h>

#include <cmath>

#include "batches.h"

using namespace meander;
using namespace meander::testing;

namespace {

constexpr int S = 2, A = 2, h = 2, B = 6, D = h * A, T = 4;
constexpr uint64_t seed = 3;

FqlSettings small() {
  FqlSettings s;
  s.chunk.batch_size = B;
  s.chunk.discount = 0.9;
  s.chunk.horizon = h;
  s.chunk.actor_width = s.chunk.critic_width = 16;
  s.chunk.actor_layers = s.chunk.critic_layers = 2;
  s.distillation = 2;
  s.sampling_steps = T;
  return s;
}

// Some of mu are outside the box, and targets are not the online critics.
void spread(Fql& agent) {
  const Network& actor = network(agent, "actor/");
  const ParameterInfo& kernel = *(actor.layout->entries().end() - 2);
  REQUIRE(kernel.name == "dense_2/kernel");
  for (int64_t i = 0; i < kernel.size(); ++i) actor.train_state->params.data()[kernel.offset + i] *= 4;
  for (const char* name : {"target1/", "target2/"})
    for (float& x : std::span(network(agent, name).train_state->params.data(), 20)) x += 0.3f;
}

// Networks of two hidden layers in float32 keep about six digits.
constexpr double rounding = 1e-5;

// ---- in double, from the layer-by-layer composite ----
Value critic(Value params, Value state, Value action) {
  const TwinCritic same(S, D, {16, 2, kernels::Activation::gelu, kernels::Norm::after_activation},
                        TwinCritic::Chosen::smaller, seed);
  return mlp_composite(same.trunk(), params, concat_columns(state, action));
}

Value one_step(Value params, Value state, Value noise) {
  ParameterLayout layout;
  const kernels::MlpShape trunk = add_mlp(layout, D + S, {16, 2, kernels::Activation::gelu, kernels::Norm::none}, D);
  return mlp_composite(trunk, params, concat_columns(noise, state));
}

Value flow_action(Fql& agent, Value state, Value noise) {
  const FlowNetwork net(S, D, {16, 2, kernels::Activation::gelu, kernels::Norm::none}, D, Times::plain_t);
  const Value params = in_double(agent, "behaviour/");
  Value x = noise;
  for (int i = T; i >= 1; --i)
    x = x - net(params, state, x, full(x.rows(), 1, double(i) / T, DType::float64), Value()) / T;
  return clip(x, -1, 1);
}

double mean_size(Value x) {
  double sum = 0;
  for (int64_t i = 0; i < x.detached.size(); ++i) sum += std::abs(element(x, i)) / double(x.detached.size());
  return sum;
}

Value action_value(Fql& agent, Value state, Value action) {
  const auto q = [&](const char* name) { return critic(in_double(agent, name), state, action); };
  return 0.5 * (q("critic1/") + q("critic2/"));
}

}  // namespace

// mu = .5 everywhere; v = .25, hence b = clip(z - .25): 0, 1 (of 1.75), -.75, -1 (of -1.25). Q1 = -2, Q2 = -4: q = -3.
//   L_D = (.5^2 + .5^2 + 1.25^2 + 1.5^2) / 4 = 1.078125,  L_Q = 3, or with lambda = 1/3: 1,  L = 2 L_D + L_Q
// A constant Q pulls nowhere: dL / d(last bias) = 2 2 (mu - b) / 4.
TEST_CASE("the policy's loss worked by hand") {
  for (const bool normalise : {false, true}) {
    ArenaScope scope;
    FqlSettings s = small();
    s.normalise_q = normalise;
    Fql agent(S, A, s, seed);
    make_constant(agent, "actor/", 0.5), make_constant(agent, "behaviour/", 0.25);
    make_constant(agent, "critic1/", -2), make_constant(agent, "critic2/", -4);
    const Tensor noise = empty(1, D);
    std::ranges::copy(std::vector<float>{0.25f, 2, -0.5f, -1}, noise.f32());
    const auto loss = agent.actor_loss(zeros(1, S), noise);
    const double q_loss = normalise ? 1 : 3;
    CHECK(loss.distillation == doctest::Approx(1.078125).epsilon(1e-6));   // a few roundings
    CHECK(loss.q_scale == doctest::Approx(q_loss / 3).epsilon(1e-6));
    CHECK(loss.q_loss == doctest::Approx(q_loss).epsilon(1e-6));
    CHECK(loss.loss == doctest::Approx(2 * 1.078125 + q_loss).epsilon(1e-6));
    const double b[D] = {0, 1, -0.75, -1};
    for (int j = 0; j < D; ++j) {
      CHECK(loss.flow_action.f32()[j] == doctest::Approx(b[j]));
      CHECK(loss.gradient.f32()[loss.gradient.size() - D + j] == doctest::Approx(0.5 - b[j]).epsilon(1e-6));
    }
  }
}

// The gradient along a direction, with the flow's action and lambda held, in double. Beyond the box mu is distilled as
// it is and valued as clipped.
TEST_CASE("the policy's loss and its gradient against plain computations") {
  for (const bool normalise : {false, true}) {
    ArenaScope scope;
    CAPTURE(normalise);
    FqlSettings s = small();
    s.normalise_q = normalise;
    s.target_value = "min";   // the policy's Q is the mean all the same
    s.distillation = 0.3;
    Fql agent(S, A, s, seed);
    spread(agent);
    const Tensor state = random_matrix(B, S, 1), noise = random_matrix(B, D, 2);
    const auto loss = agent.actor_loss(single(state), single(noise));
    const Tensor params = in_double(agent, "actor/"), d = random_matrix(1, params.size(), 4);
    const Value b = flow_action(agent, state, noise), mu = one_step(params, state, noise);
    const Value q = action_value(agent, state, clip(mu, -1, 1));
    const double scale = normalise ? 1 / mean_size(q) : 1;
    CHECK(difference(loss.one_step, mu) < rounding);
    CHECK(difference(loss.action, clip(mu, -1, 1)) < rounding);
    CHECK(difference(loss.flow_action, b) < rounding);
    CHECK(difference(loss.q, q) < rounding);
    CHECK(loss.q_scale == doctest::Approx(scale).epsilon(1e-4));   // q may be of either sign: digits cancel in it
    int outside = 0;
    for (int i = 0; i < B * D; ++i) outside += std::abs(element(mu, i)) > 1;
    CHECK(outside > B * D / 8);
    CHECK(outside < B * D * 7 / 8);
    const auto part = [&](double by, bool distillation) {
      const Value moved = one_step(Value(params) + by * Value(d), state, noise);
      return distillation ? element(mean_all(square(moved - b)), 0)
                          : -scale * element(mean_all(action_value(agent, state, clip(moved, -1, 1))), 0);
    };
    const auto expected = [&](double by) { return 0.3 * part(by, true) + part(by, false); };
    CHECK(loss.distillation == doctest::Approx(part(0, true)).epsilon(rounding));
    CHECK(std::abs(loss.q_loss - part(0, false)) < 1e-5);
    CHECK(loss.loss == doctest::Approx(expected(0)).epsilon(1e-4));
    // A sum over all parameters: more digits cancel. Each term's share is far above that.
    const double slope = (expected(1e-6) - expected(-1e-6)) / 2e-6;
    const double of_q = (part(1e-6, false) - part(-1e-6, false)) / 2e-6;
    CHECK(dot(loss.gradient, d) == doctest::Approx(slope).epsilon(1e-4));
    CHECK(std::abs(of_q) > 0.01 * std::abs(slope));
  }
}

// V' of the two target critics: their mean, or the smaller. gamma^2 = .81.
TEST_CASE("the critics' target") {
  for (const char* which : {"mean", "min"}) {
    ArenaScope scope;
    FqlSettings s = small();
    s.target_value = which;
    Fql agent(S, A, s, seed);
    make_constant(agent, "target1/", 4), make_constant(agent, "target2/", 2);
    make_constant(agent, "critic1/", 100), make_constant(agent, "critic2/", 100);
    const Data data = random_batch(B, S, A, 5, h, h);
    const Tensor y = agent.critics().target(data.batch, zeros(B, D));
    const double next = std::string(which) == "mean" ? 3 : 2;
    for (int i = 0; i < B; ++i) {
      const float* r = data.batch.reward.f32() + h * i;
      CHECK(y.f32()[i] == doctest::Approx(r[0] + 0.9 * r[1] + 0.81 * data.batch.mask.f32()[i] * next).epsilon(1e-6));
    }
  }
}

// Each network learns from its own loss alone, computed before any of them moved: the Q term reaches neither the
// critics nor the flow. Every draw has a name of its own.
TEST_CASE("an update") {
  Fql agent(S, A, small(), seed), offline(S, A, small(), seed), before(S, A, small(), seed);
  for (Fql* a : {&agent, &offline, &before}) spread(*a);
  Data data = random_batch(B, S, A, 5, h, h);
  data.batch.valid.f32()[h * 2 + 1] = 0;
  const std::vector<float> metrics = update(agent, data.batch);
  ArenaScope scope;
  const Tensor t = empty(B, 1);
  kernels::philox_uniform({seed, static_cast<uint32_t>(Purpose::interval_a), 1}, nullptr, B, t.f32());
  const auto normals = [](Purpose purpose) { return agent_normals(seed, purpose, 1, B, D); };
  const auto behaviour = before.behaviour_loss(data.batch, normals(Purpose::interpolation_noise), t);
  const auto actor = before.actor_loss(data.batch.state, normals(Purpose::policy_noise));
  const Value next = clip(one_step(in_double(before, "actor/"), twofold(data.batch.next_state),
                                   twofold(normals(Purpose::next_action))), -1, 1);
  const Tensor chosen = before.best_candidate(data.batch.next_state, normals(Purpose::next_action)).chosen;
  CHECK(difference(chosen, next) < rounding);
  const Tensor y = before.critics().target(data.batch, chosen);
  CHECK(metric(agent, metrics, "behaviour_loss") == behaviour.loss);
  CHECK(metric(agent, metrics, "actor_loss") == actor.loss);
  CHECK(metric(agent, metrics, "distillation_loss") == actor.distillation);
  CHECK(metric(agent, metrics, "q_loss") == actor.q_loss);
  CHECK(metric(agent, metrics, "q_mean") == doctest::Approx(-actor.q_loss));
  CHECK(metric(agent, metrics, "q_scale") == 1);
  // Adam's first moment is a tenth of the gradient, rounded.
  CHECK(difference(first_gradient(agent, "behaviour/"), behaviour.gradient) < 1e-6);
  CHECK(difference(first_gradient(agent, "actor/"), actor.gradient) < 1e-6);
  for (int i : {0, 1}) {
    const auto loss = before.critics().loss(i, data.batch, y);
    CHECK(metrics[static_cast<size_t>(i)] == loss.loss);
    CHECK(difference(first_gradient(agent, i == 0 ? "critic1/" : "critic2/"), loss.gradient) < 1e-6);
  }

  data.batch.offline = true;
  CHECK(update(offline, data.batch) == metrics);
  CHECK(all_parameters(offline) == all_parameters(agent));
}

// The one-step policy acts, exploring and evaluating, with a noise of each; it is never the mean.
TEST_CASE("acting is one sample of the one-step policy, or the best of several") {
  for (const int64_t candidates : {1, 3}) {
    FqlSettings s = small();
    s.chunk.candidates = candidates;
    Fql agent(S, A, s, seed);
    spread(agent);
    const float state[S] = {0.4f, -1};
    float chunk[D];
    for (uint64_t i = 0; i < 3; ++i)
      for (const Purpose purpose : {Purpose::explore, Purpose::evaluate}) {
        ArenaScope scope;
        purpose == Purpose::explore ? agent.explore(state, i, chunk) : agent.act(state, i, chunk);
        const Tensor noise = twofold(agent_normals(seed, purpose, i, candidates, D));
        const Value states = repeat_rows(twofold(view(state, 1, S)), candidates);
        const Value all = clip(one_step(in_double(agent, "actor/"), states, noise), -1, 1);
        const Value q = action_value(agent, states, all);
        int64_t best = 0;
        for (int64_t k = 1; k < candidates; ++k) best = element(q, k) > element(q, best) ? k : best;
        for (int j = 0; j < D; ++j) CHECK(std::abs(chunk[j] - element(all, D * best + j)) < rounding);
      }
  }
}
