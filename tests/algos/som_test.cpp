// Protects SOM's own: the diffusion, the score and the velocity against closed forms, standardisation, losses and
// targets against plain computations, the exploration noise and what happens how often.
#include <meander/algos/som.h>

#include <cmath>
#include <numbers>

#include "small_agents.h"

using namespace meander;
using namespace meander::testing;

namespace {

constexpr uint64_t seed = 3;

SomSettings small() {
  SomSettings s;
  s.batch_size = 32;
  s.actor_width = s.critic_width = 16;
  s.actor_layers = s.critic_layers = 2;
  s.proposals = 6;
  s.candidates = 4;
  // The printed constants, with which the fields are far from linear.
  s.beta_max = 20, s.weight = 25, s.velocity = "unit_score", s.policy_interval = 2;
  return s;
}

Som made(auto change) {
  SomSettings s = small();
  change(s);
  return Som(S, A, s, seed);
}

// The critic in double, from the layer-by-layer composite.
Value critic(Som& agent, const char* name, Value state, Value action) {
  const TwinCritic same_shape(S, A, {16, 2, kernels::Activation::mish, kernels::Norm::none},
                              TwinCritic::Chosen::smaller, seed);
  return mlp_composite(same_shape.trunk(), in_double(agent, name), concat_columns(state, action));
}

Tensor times(std::initializer_list<double> numbers, DType dtype = DType::float64) {
  const Tensor x = empty(static_cast<int64_t>(numbers.size()), 1, DType::float64);
  std::copy(numbers.begin(), numbers.end(), x.as<double>());
  return cast(x, dtype);
}

// Networks of two hidden layers in float32 keep about six digits.
constexpr double rounding = 1e-5;

}  // namespace

// ---- the diffusion --------------------------------------------------------------------------------------------------
TEST_CASE("the schedule in float32 is the one in double") {
  ArenaScope scope;
  const Som agent = made([](SomSettings&) {});
  constexpr double ulp = 1.2e-7;
  for (int i = 1; i <= 999; ++i) {
    const float t = static_cast<float>(i / 1000.0);
    const double integral = 0.1 * t + 19.9 * double(t) * t / 2;
    const auto s = agent.schedule(full(1, 1, t));
    CHECK(*s.beta.f32() == doctest::Approx(0.1 + 19.9 * t).epsilon(3 * ulp));
    // What the exponent loses to rounding, up to 5 times 3 ulp, the exponential has as a relative error.
    CHECK(*s.mu.f32() == doctest::Approx(std::exp(-integral / 2)).epsilon((3 + 1.5 * integral) * ulp));
    CHECK(*s.sigma.f32() == doctest::Approx(std::sqrt(-std::expm1(-integral))).epsilon(5 * ulp));
  }
  const auto end = agent.schedule(full(1, 1, 1));
  CHECK(*end.mu.f32() == doctest::Approx(0.0066).epsilon(0.01));
}

// Data N(m, s^2 I): a_t = mu m + d z with d^2 = mu^2 s^2 + sigma^2 and z the same all along a path, so the mean
// velocity of the probability-flow ODE is known; its velocity is SOM's, given the score -z / d.
TEST_CASE("the exact velocity is the flow of Gaussian data, from noise at t = 1 to the action at t = 0") {
  ArenaScope scope;
  const Som agent = made([](SomSettings& s) { s.velocity = "exact"; });
  const double m = 0.4, s = 0.3;
  const auto mu = [](Value t) { return exp(-0.5 * (0.1 * t + 9.95 * square(t))); };
  const auto deviation = [&](Value t) { return sqrt(1 + (s * s - 1) * square(mu(t))); };
  const auto at = [&](Value x, Value t, Value r) {   // where the path through (x, t) is at time r
    return m * mu(r) + deviation(r) * ((x - m * mu(t)) / deviation(t));
  };
  const auto u = [&](Value x, Value t, Value r) { return (x - at(x, t, r)) / (t - r); };

  const FlowTimes time{times({0.99, 0.8, 0.5, 0.1}), times({0.0, 0.4, 0.45, 0.0}), 4};
  const Tensor x = random_matrix(4, A, 1);
  const Value score = -1 * ((Value(x) - m * mu(time.t)) / square(deviation(time.t)));
  const Tensor v = agent.velocity(x, agent.schedule(time.t), score.detached);
  const double step = 1e-5;
  const Value later = Value(time.t) + step, earlier = Value(time.t) - step;
  CHECK(difference(v, (at(x, time.t, later) - at(x, time.t, earlier)) / (2 * step)) < 1e-7);
  const MeanFlowIdentity i = mean_flow_identity(u, x, time, v, v);
  CHECK(difference(i.mean_field, i.target) < 1e-11);
  // Reversed time would miss by far.
  CHECK(difference(i.mean_field, Value(v) + (Value(time.t) - Value(time.r)) * i.derivative) > 0.1);

  // One step: m + s (e - mu1 m) / d1, which is m + s e up to s |m| mu1 + s |e| mu1^2; mu1 = .0066 is what t = 1 leaves.
  const Value e = random_matrix(50, 1, 3), one = full(1, 1, 1, DType::float64), zero = zeros(1, 1, DType::float64);
  const double mu1 = std::exp(-0.5 * 10.05), d1 = std::sqrt(1 - mu1 * mu1 * (1 - s * s));
  const Value action = e - u(e, one, zero);
  CHECK(difference(action, (s / d1) * (e - mu1 * m) + m) < 1e-13);
  CHECK(difference(action, s * e + m) < s * m * mu1 + 4 * s * mu1 * mu1);
  CHECK(difference(action, s * e + m) > 0);
}

TEST_CASE("the unit score has its weight whatever the score's length, and points where the score does") {
  ArenaScope scope;
  const Som agent = made([](SomSettings&) {});
  const Tensor x = single(random_matrix(6, A, 1)), score = single(random_matrix(6, A, 2, 1e-3));
  score.f32()[2] = 3e4f, score.f32()[4] = score.f32()[5] = 0;   // long; none at all
  const auto schedule = agent.schedule(times({0.01, 0.2, 0.4, 0.6, 0.8, 1}, DType::float32));
  const Tensor v = agent.velocity(x, schedule, score);
  for (int i = 0; i < 6; ++i) {
    const double half = 0.5 * double(schedule.beta.f32()[i]);
    const double length = std::hypot(score.f32()[2 * i], score.f32()[2 * i + 1]);
    double norm = 0, along = 0;
    for (int j = 2 * i; j < 2 * i + 2; ++j) {
      const double direction = double(v.f32()[j]) + half * double(x.f32()[j]);
      norm += direction * direction, along += direction * double(score.f32()[j]);
    }
    norm = std::sqrt(norm);
    if (i == 2) CHECK(norm < 1e-6);
    else CHECK(norm == doctest::Approx(half * 25).epsilon(1e-4));   // the guard 1e-8 beside a score of 1e-3
    if (i != 2) CHECK(along == doctest::Approx(-norm * length).epsilon(1e-4));
  }
}

// ---- the score ------------------------------------------------------------------------------------------------------
// Q = -c |a|^2 / 2: the proposals' density times exp(alpha Q) is Gaussian, and the gradient of its log integral by a_t
// is -a_t / (mu^2 / (alpha c) + sigma^2). The estimate is a self-normalised mean sum_k w_k h_k; by the delta method its
// variance is sum_k w_k^2 (h_k - mean)^2.
TEST_CASE("the raw score of a quadratic Q is the closed form") {
  const Som agent = made([](SomSettings& s) { s.inverse_temperature = 0.5; });
  const double alpha = 0.5, c = 4;
  constexpr int64_t K = 100'000;
  for (const double t : {0.05, 0.1, 0.2}) {
    ArenaScope scope;
    CAPTURE(t);
    const auto schedule = agent.schedule(full(1, 1, t));
    const Tensor x = single(random_matrix(1, A, 7));
    const Tensor noise = agent_normals(1, Purpose::test, static_cast<uint64_t>(100 * t), K, A);
    const Tensor action = agent.proposals(x, schedule, noise);
    const Tensor q = reshape((-0.5 * c) * sum_row(square(action)), 1, K).detached;
    const Tensor gradient = (-c * Value(action)).detached;
    const auto weights = agent.proposal_weights(q, "none");
    const Tensor score = agent.score(weights, gradient, schedule);
    const double mu = *schedule.mu.f32(), variance = std::pow(double(*schedule.sigma.f32()), 2);
    for (int j = 0; j < A; ++j) {
      const double expected = -x.f32()[j] / (mu * mu / (alpha * c) + variance), found = score.f32()[j];
      double error = 0;
      for (int64_t k = 0; k < K; ++k) {
        const double h = alpha / mu * double(gradient.f32()[k * A + j]);
        error += std::pow(double(weights.softmax.f32()[k]) * (h - found), 2);
      }
      error = std::sqrt(error);
      CHECK(std::abs(found - expected) < 4 * error);
      CHECK(error < 0.02);   // of scores around 1: the check can tell
    }
  }
}

TEST_CASE("proposals are a_t / mu + sigma / mu e, unclipped") {
  ArenaScope scope;
  const Som agent = made([](SomSettings&) {});
  const Tensor x = single(random_matrix(2, A, 1)), noise = single(random_matrix(2 * 3, A, 2));
  const auto s = agent.schedule(times({0.3, 0.9}, DType::float32));
  const Tensor a = agent.proposals(x, s, noise);
  for (int i = 0; i < 6; ++i)
    for (int j = 0; j < A; ++j) {
      const int b = i / 3;
      const double mu = s.mu.f32()[b], sigma = s.sigma.f32()[b];
      const double expected = x.f32()[A * b + j] / mu + sigma / mu * noise.f32()[A * i + j];
      CHECK(a.f32()[A * i + j] == doctest::Approx(expected).epsilon(1e-6));
    }
}

TEST_CASE("Q is standardised over everything, over each state or not at all") {
  ArenaScope scope;
  const Som agent = made([](SomSettings& s) { s.inverse_temperature = 0.7; });
  constexpr int B = 3, K = 8;
  const Tensor q = single(random_matrix(B, K, 1, 3, 5)), gradient = single(random_matrix(B * K, A, 2));
  const auto schedule = agent.schedule(times({0.1, 0.5, 0.9}, DType::float32));
  for (const std::string kind : {"all", "state", "none"}) {
    CAPTURE(kind);
    const auto w = agent.proposal_weights(q, kind);
    const Tensor score = agent.score(w, gradient, schedule);
    for (int b = 0; b < B; ++b) {
      const int first = kind == "all" ? 0 : b, last = kind == "all" ? B : b + 1, n = (last - first) * K;
      double centre = 0, variance = 0;
      for (int i = first * K; i < last * K; ++i) centre += q.f32()[i] / double(n);
      for (int i = first * K; i < last * K; ++i) variance += std::pow(q.f32()[i] - centre, 2) / n;
      const double scale = kind == "none" ? 1 : std::sqrt(variance) + 1e-6;
      double total = 0, weight[K], expected[A] = {};
      for (int k = 0; k < K; ++k) total += weight[k] = std::exp(0.7 * (q.f32()[b * K + k] - centre) / scale);
      for (int k = 0; k < K; ++k) {
        weight[k] /= total;
        CHECK(w.softmax.f32()[b * K + k] == doctest::Approx(weight[k]).epsilon(rounding));
        for (int j = 0; j < A; ++j)
          expected[j] += weight[k] * gradient.f32()[(b * K + k) * A + j] / scale * 0.7 / schedule.mu.f32()[b];
      }
      for (int j = 0; j < A; ++j) CHECK(score.f32()[b * A + j] == doctest::Approx(expected[j]).epsilon(rounding));
    }
  }
}

// Against the formula in double. Times from 0.05 on: before, sigma^2 is so small that float32's x / mu decides.
TEST_CASE("the clipped velocity keeps the denoised action in the box") {
  ArenaScope scope;
  const Tensor t = single(times({0.05, 0.2, 0.6, 1.0})), x = single(random_matrix(4, A, 1));
  const Tensor score = single(random_matrix(4, A, 2));
  const auto velocity = [&](const char* kind, double weight) {
    const Som agent = made([&](SomSettings& s) { s.velocity = kind, s.weight = weight; });
    return agent.velocity(x, agent.schedule(t), score);
  };
  const Som agent = made([](SomSettings&) {});
  const auto schedule = agent.schedule(t);
  for (const double weight : {0.1, 3.0, 25.0}) {
    const Tensor clipped = velocity("clipped", weight), free = velocity("unit_score", weight);
    int inside = 0, outside = 0;
    for (int b = 0; b < 4; ++b) {
      const double mu = schedule.mu.f32()[b], sigma = schedule.sigma.f32()[b], beta = schedule.beta.f32()[b];
      double length = 0;
      for (int j = 0; j < A; ++j) length += std::pow(double(score.f32()[b * A + j]), 2);
      for (int j = 0; j < A; ++j) {
        const int i = b * A + j;
        const double unit = score.f32()[i] / std::sqrt(length);
        const double denoised = (x.f32()[i] + sigma * sigma * weight * unit) / mu;
        const double expected = 0.5 * beta * mu / (sigma * sigma) * (mu * x.f32()[i] - std::clamp(denoised, -1.0, 1.0));
        CHECK(clipped.f32()[i] == doctest::Approx(expected).epsilon(1e-4));
        (std::abs(denoised) <= 1 ? inside : outside) += 1;
        if (std::abs(denoised) <= 1) CHECK(clipped.f32()[i] == free.f32()[i]);
      }
    }
    CHECK(outside > 0);
    if (weight == 0.1) CHECK(inside > 0);
  }
}

TEST_CASE("a proposal's value is the smaller critic's, its gradient that one's") {
  ArenaScope scope;
  Som agent = made([](SomSettings&) {});
  for (const char* target : {"target1/", "target2/"}) make_constant(agent, target, 3);   // they have no say in it
  const Tensor state = random_matrix(4, S, 1), action = random_matrix(12, A, 2);
  const auto values = agent.proposal_values(single(state), single(action));
  const Value states = repeat_rows(state, 3);
  const auto smaller = [&](Value a) {
    return minimum(critic(agent, "critic1/", states, a), critic(agent, "critic2/", states, a));
  };
  CHECK(values.q.rows == 4);
  CHECK(difference(reshape(values.q, 12, 1), smaller(action)) < rounding);
  for (int j = 0; j < A; ++j) {
    const Tensor step = zeros(1, A, DType::float64);
    step.as<double>()[j] = 1e-5;
    const Value slope = (smaller(Value(action) + step) - smaller(Value(action) - step)) / 2e-5;
    CHECK(difference(slice_columns(values.gradient, j, 1), slope) < rounding);
  }
  const Value first = critic(agent, "critic1/", states, action), second = critic(agent, "critic2/", states, action);
  CHECK(difference(smaller(action), first) > 1e-3);   // each of the two is the smaller one somewhere
  CHECK(difference(smaller(action), second) > 1e-3);
}

// ---- the losses -----------------------------------------------------------------------------------------------------
// Mean over the batch of error / (error + 1e-3), error = mean_j (u - target)^2, the target by central differences; the
// gradient with target and weights held.
TEST_CASE("the actor's loss weighs samples by their error") {
  ArenaScope scope;
  const Tensor state = random_matrix(6, S, 1), x = random_matrix(6, A, 2), v = random_matrix(6, A, 3);
  const Tensor t = times({0.9, 0.3, 0.2, 0.8, 0.5, 1.0}), r = times({0.9, 0.3, 0.1, 0.5, 0.0, 0.0});
  const FlowTimes time{single(t), single(r), 4};
  const FlowNetwork net(S, A, {16, 2, kernels::Activation::mish, kernels::Norm::none}, A, Times::sinusoidal);
  for (const bool adaptive : {true, false}) {
    Som agent = made([&](SomSettings& s) { s.adaptive_weight = adaptive; });
    const auto loss = agent.actor_loss(single(state), single(x), time, single(v));
    const Tensor params = in_double(agent, "actor/");
    const auto u = [&](Value x, Value t, Value r) { return net(params, state, x, t, r); };
    const Tensor target = mean_flow_target(u, x, t, r, v);
    const Tensor error = mean_row(square(u(x, t, r) - target)).detached, weight = full(6, 1, 1, DType::float64);
    double sum = 0;
    for (int i = 0; i < 6; ++i) {
      if (adaptive) weight.as<double>()[i] = 1 / (error.as<double>()[i] + 1e-3);
      sum += weight.as<double>()[i] * error.as<double>()[i] / 6;
    }
    // du/dt adds the embeddings' slope, 20 at most, to float32's rounding.
    CHECK(loss.loss == doctest::Approx(sum).epsilon(20 * rounding));
    const Value expected = grad(
        [&](Value p) { return mean_column(Value(weight) * mean_row(square(net(p, state, x, t, r) - target))); },
        params);
    CHECK(difference(loss.gradient, expected) < 20 * rounding);
  }
}

// y = .2 r + gamma mask min(Q1', Q2')(s', a'), a' the best of N by the online critics plus noise, clipped.
TEST_CASE("the critics' target") {
  ArenaScope scope;
  Som agent = made([](SomSettings& s) { s.discount = 0.9; });
  const Data data = random_batch(32, S, A, 5);
  const Batch& b = data.batch;
  SUBCASE("of critics that are constant") {
    const char* names[] = {"target1/", "target2/", "critic1/", "critic2/"};
    const double values[] = {3, 2, -1, 0.5};
    for (int i = 0; i < 4; ++i) make_constant(agent, names[i], values[i]);
    const std::vector<float> metrics = update(agent, b, 1);
    for (int critic : {0, 1}) {
      double sum = 0;
      for (int i = 0; i < 32; ++i)
        sum += std::pow(values[2 + critic] - (0.2 * b.reward.f32()[i] + 0.9 * b.mask.f32()[i] * 2), 2) / 32;
      CHECK(metrics[static_cast<size_t>(critic)] == doctest::Approx(sum).epsilon(rounding));
    }
  }
  SUBCASE("at the action that acting would choose") {
    network(agent, "target1/").train_state->params.data()[1] += 0.3f;   // not the online critics'
    const Choice choice = agent.best_candidate(b.next_state, agent_normals(seed, Purpose::next_action, 1, 32 * 4, A));
    const Value noise = twofold(agent_normals(seed, Purpose::next_exploration_noise, 1, 32, A));
    const Value next = clip(Value(twofold(choice.chosen)) + 0.5 * noise, -1, 1), state = twofold(b.next_state);
    const Value q = minimum(critic(agent, "target1/", state, next), critic(agent, "target2/", state, next));
    const Value y = 0.2 * Value(twofold(b.reward)) + 0.9 * (Value(twofold(b.mask)) * q);
    const Value error = critic(agent, "critic2/", twofold(b.state), twofold(b.action)) - y;
    const double expected = element(mean_all(square(error)), 0);
    CHECK(update(agent, b, 1)[1] == doctest::Approx(expected).epsilon(rounding));
  }
}

TEST_CASE("the best candidate is the one whose smaller critic is largest") {
  ArenaScope scope;
  Som agent = made([](SomSettings&) {});
  for (const char* target : {"target1/", "target2/"}) make_constant(agent, target, 3);   // nor in this
  const Tensor state = random_matrix(3, S, 1);
  const Choice choice = agent.best_candidate(single(state), single(random_matrix(3 * 7, A, 2, 2)));
  const Value states = repeat_rows(state, 7), action = twofold(choice.action);
  const Value q = minimum(critic(agent, "critic1/", states, action), critic(agent, "critic2/", states, action));
  for (int i = 0; i < 3; ++i) {
    int best = 0;
    for (int k = 1; k < 7; ++k) best = element(q, 7 * i + k) > element(q, 7 * i + best) ? k : best;
    for (int j = 0; j < A; ++j) CHECK(choice.chosen.f32()[A * i + j] == choice.action.f32()[A * (7 * i + best) + j]);
  }
}

TEST_CASE("SOM: each draw is of its own purpose and goes where it belongs") {
  const Data data = random_batch(32, S, A, 5);
  for (const bool from_policy : {false, true}) {
    ArenaScope scope;
    CAPTURE(from_policy);
    const auto change = [&](SomSettings& s) {
      s.policy_interval = 1;
      if (from_policy) s.start = "policy";
    };
    Som agent = made(change), before = made(change);
    const Seen seen(agent);
    update(agent, data.batch);
    const auto normals = [&](Purpose purpose, int64_t a_state) {
      return agent_normals(seed, purpose, 1, 32 * a_state, A);
    };
    const auto uniforms = [&](Purpose purpose) {
      const Tensor x = empty(32, 1);
      kernels::philox_uniform({seed, static_cast<uint32_t>(purpose), 1}, nullptr, 32, x.f32());
      return x;
    };
    const FlowTimesSampler sampler{.draw = FlowTimesSampler::Draw::uniform_below, .share_equal = 0.25};
    const FlowTimes time = sampler(uniforms(Purpose::interval_a), uniforms(Purpose::interval_b));
    CHECK(difference(seen["actor/t"], time.t) == 0);
    CHECK(difference(seen["actor/r"], time.r) == 0);
    const Tensor start =
        from_policy ? before.sample(data.batch.state, normals(Purpose::policy_noise, 1)) : data.batch.action;
    CHECK(difference(seen["actor/start"], start) == 0);
    const auto at = before.schedule(time.t);
    const Value noise = normals(Purpose::interpolation_noise, 1);
    const Tensor x = (Value(at.mu) * Value(start) + Value(at.sigma) * noise).detached;
    CHECK(difference(seen["actor/x"], x) == 0);
    CHECK(difference(seen["proposals/action"], before.proposals(x, at, normals(Purpose::score_noise, 6))) == 0);
  }
}

// ---- what happens how often ------------------------------------------------------------------------------------------
// Policy and targets at intervals of their own; the targets at the policy's if nothing is said. The critics every time.
TEST_CASE("policy and targets move at their intervals, the critics every time") {
  struct Intervals {
    int64_t policy, targets, said;
  };
  for (const Intervals& interval : {Intervals{1, 1, 0}, {2, 2, 0}, {3, 3, 0}, {2, 1, 1}, {1, 3, 3}}) {
    Som agent = made([&](SomSettings& s) { s.policy_interval = interval.policy, s.target_interval = interval.said; });
    const Data data = random_batch(32, S, A, 5);
    std::vector<float> metrics;
    for (uint64_t u = 1; u <= 6; ++u) {
      const char* names[] = {"actor/", "target1/", "target2/", "critic1/", "critic2/"};
      std::vector<float> before[5];
      for (int i = 0; i < 5; ++i) before[i] = parameters(agent, names[i]);
      const std::vector<float> last = std::exchange(metrics, update(agent, data.batch, u));
      const bool due = u % static_cast<uint64_t>(interval.policy) == 0;
      const bool follow = u % static_cast<uint64_t>(interval.targets) == 0;
      for (int i = 0; i < 5; ++i)
        CHECK((parameters(agent, names[i]) != before[i]) == (i == 0 ? due : i < 3 ? follow : true));
      // Between policy updates its metrics are those of the last one.
      if (u > 1 && !due) CHECK(metric(agent, metrics, "actor_loss") == metric(agent, last, "actor_loss"));
      for (const float x : metrics) CHECK(std::isfinite(x));
    }
  }
}

// Adam's first step moves a parameter by the rate: the first step of the policy is that of its own second update.
TEST_CASE("the policy's rate falls from one end to the other, by its own updates") {
  const Data data = random_batch(32, S, A, 5);
  const auto largest_move = [&](int64_t start) {
    Som agent = made([&](SomSettings& s) {
      s.policy_interval = 2, s.learning_rate = 1e-2, s.final_learning_rate = 1e-3;
      s.decay_start = start, s.decay_length = 2;
    });
    const std::vector<float> before = parameters(agent, "actor/");
    for (const uint64_t u : {1, 2}) update(agent, data.batch, u);
    const std::vector<float> after = parameters(agent, "actor/");
    float largest = 0;
    for (size_t i = 0; i < after.size(); ++i) largest = std::max(largest, std::abs(after[i] - before[i]));
    return largest;
  };
  CHECK(largest_move(0) == doctest::Approx(1e-2).epsilon(1e-3));      // not begun: updates before this one count
  CHECK(largest_move(-1) == doctest::Approx(5.5e-3).epsilon(1e-3));   // half way
  CHECK(largest_move(-2) == doctest::Approx(1e-3).epsilon(1e-3));     // over
}

TEST_CASE("switches do what they say") {
  const Data data = random_batch(32, S, A, 5);
  const auto run = [&](auto change) {
    Som agent = made(change);
    for (uint64_t u = 1; u <= 2; ++u)
      for (const float x : update(agent, data.batch, u)) CHECK(std::isfinite(x));
    return all_parameters(agent);
  };
  const std::vector<std::vector<float>> all = {
      run([](SomSettings&) {}),
      run([](SomSettings& s) { s.standardise = "state"; }),
      run([](SomSettings& s) { s.standardise = "none"; }),
      run([](SomSettings& s) { s.velocity = "exact"; }),
      run([](SomSettings& s) { s.velocity = "clipped"; }),
      run([](SomSettings& s) { s.start = "policy"; }),
      run([](SomSettings& s) { s.times = "logit_normal"; }),
      run([](SomSettings& s) { s.adaptive_weight = false; }),
      run([](SomSettings& s) { s.bound = "tanh"; }),
      run([](SomSettings& s) { s.share_equal_times = 1; }),
      run([](SomSettings& s) { s.share_equal_times = 0; }),
      run([](SomSettings& s) { s.candidates = 1; }),
  };
  for (size_t i = 0; i < all.size(); ++i)
    for (size_t j = 0; j < i; ++j) CHECK_MESSAGE(all[i] != all[j], i << " and " << j);
}

// A Q that is given, -4 |a - a*|^2: the exact flow of a diffusion mild enough for a short run ends in samples of
// N(a*, .354^2), without any choice among candidates.
TEST_CASE("the policy learns to sample a known density") {
  Som agent = made([](SomSettings& s) {
    s.velocity = "exact", s.standardise = "none", s.beta_max = 3, s.start = "policy";
    s.learning_rate = 3e-3, s.final_learning_rate = 1e-4, s.decay_start = 150, s.decay_length = 250;
    s.batch_size = 64, s.proposals = 128, s.actor_width = 32;
  });
  const float best[A] = {0.5f, -0.25f};
  const ActionValue q = [&](Value, Value a) { return -4 * sum_row(square(a - Value(view(best, 1, A)))); };
  const std::vector<float> states(64 * S, 0.3f);
  for (uint64_t u = 1; u <= 400; ++u) agent.improve_policy(q, view(states.data(), 64, S), u);
  ArenaScope scope;
  const Tensor action = agent.sample(view(states.data(), 1, S), single(random_matrix(500, A, 1)));
  for (int j = 0; j < A; ++j) {
    double centre = 0, variance = 0;
    for (int i = 0; i < 500; ++i) centre += double(action.f32()[A * i + j]) / 500;
    for (int i = 0; i < 500; ++i) variance += std::pow(action.f32()[A * i + j] - centre, 2) / 500;
    // At first the centre is near 0 and the deviation near .7; the mean velocity is learnt to about .1 by then.
    CHECK(std::abs(centre - best[j]) < 0.15);
    CHECK(std::sqrt(variance) > 0.25);
    CHECK(std::sqrt(variance) < 0.45);
  }
}
