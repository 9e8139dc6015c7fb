// Protects MFPO's own: every switch, what is drawn for what, the temperature and the order of an update.
#include <meander/algos/mfpo.h>

#include <cmath>

#include "small_agents.h"

using namespace meander;
using namespace meander::testing;

namespace {

constexpr uint64_t seed = 3;

MfpoSettings small() {
  MfpoSettings s;
  s.batch_size = rows;
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
  for (uint64_t u = 1; u <= updates; ++u) agent.update(random_batch(rows, S, A, 100 + u).batch, u, metrics);
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

// ---- an update, phase by phase: the same phases called here, with the draws that each is to have --------------------
namespace {

struct OneUpdate {
  explicit OneUpdate(MfpoSettings s) : settings(s), agent(S, A, s, seed), phases(S, A, s, seed), seen(agent) {}
  void run() { metrics = update(agent, batch); }
  Tensor normals(Purpose purpose, int64_t a_state, int64_t cols) const {
    return agent_normals(seed, purpose, 1, rows * a_state, cols);
  }
  // The parameters that the agent has now.
  void follow() {
    for (const Network& n : phases.networks())
      n.train_state->params.copy_from(network(agent, n.name).train_state->params);
    phases.policy.outdate();
  }
  Tensor first() const {   // the first policy proposal of each state
    return slice_columns(reshape(seen["proposals/policy"], rows, 4 * A), 0, A).detached;
  }

  MfpoSettings settings;
  Mfpo agent;
  MfpoPhases phases;
  Seen seen;
  Data data = random_batch(rows, S, A, 5);
  const Batch& batch = data.batch;
  std::vector<float> metrics;
};

MfpoSettings fast() {   // one step moves every network by far
  MfpoSettings s = small();
  s.learning_rate = 0.01, s.alpha = 0.3;
  return s;
}

// The same numbers, of which `seen` has them in double.
void check_same(Tensor seen, Tensor expected) { CHECK(difference(seen, expected) == 0); }

}  // namespace

TEST_CASE("MFPO: each draw is of its own purpose and goes where it belongs") {
  ArenaScope scope;
  OneUpdate u(fast());
  u.run();
  MfpoPhases& p = u.phases;
  const auto next = p.sample(u.batch.next_state, u.normals(Purpose::next_action, 1, A));
  check_same(u.seen["next/action"], next.action);
  check_same(u.seen["next/log_prob"], next.log_prob);

  const FlowTimes time = p.flow_times(u.normals(Purpose::interval_a, 1, 1), u.normals(Purpose::interval_b, 1, 1));
  check_same(u.seen["flow/t"], time.t);
  check_same(u.seen["flow/r"], time.r);
  const auto policy = p.sample(u.batch.state, u.normals(Purpose::proposal_noise, 4, A));
  check_same(u.seen["proposals/policy"], policy.action);
  check_same(u.seen["proposals/log_prob"], policy.log_prob);
  const Tensor first = single(u.first());
  const Tensor x = interpolate(first, u.normals(Purpose::interpolation_noise, 1, A), time.t);
  check_same(u.seen["flow/x"], x);
  const Tensor uniform = empty(rows * 6, A);
  kernels::philox_uniform({seed, static_cast<uint32_t>(Purpose::truncated_uniform), 1}, nullptr, uniform.size(),
                          uniform.f32());
  check_same(u.seen["proposals/gaussian"], gaussian_proposals(x, time.t, uniform).action);

  const FlowTimes of_divergence = p.flow_times(u.normals(Purpose::divergence_interval_a, 1, 1),
                                               u.normals(Purpose::divergence_interval_b, 1, 1));
  check_same(u.seen["divergence/t"], of_divergence.t);
  check_same(u.seen["divergence/r"], of_divergence.r);
  check_same(u.seen["divergence/x"],
             interpolate(first, u.normals(Purpose::divergence_noise, 1, A), of_divergence.t));
}

TEST_CASE("MFPO: the divergence is that of the actor after its step") {
  ArenaScope scope;
  OneUpdate u(fast());
  u.run();
  const auto divergence = [&] {
    const Tensor x = single(u.seen["divergence/x"]), t = single(u.seen["divergence/t"]);
    return u.phases.divergence_of_velocity(u.batch.state, x, t, u.normals(Purpose::divergence_probe, 2, A));
  };
  CHECK(difference(u.seen["divergence/velocity"], divergence().velocity) > 1e-3);   // of before
  CHECK(difference(u.seen["divergence/estimate"], divergence().estimate) > 1e-3);
  u.follow();
  check_same(u.seen["divergence/velocity"], divergence().velocity);
  check_same(u.seen["divergence/directions"], divergence().derivative);
  check_same(u.seen["divergence/estimate"], divergence().estimate);
}

TEST_CASE("MFPO: the divergence network learns the divergence, from its parameters before the step") {
  ArenaScope scope;
  OneUpdate u(fast());
  u.run();
  const FlowTimes time{single(u.seen["divergence/t"]), single(u.seen["divergence/r"]), rows / 4};
  const auto loss = u.phases.divergence_loss(
      u.batch.state, single(u.seen["divergence/x"]), time,
      {single(u.seen["divergence/velocity"]), single(u.seen["divergence/directions"]),
       single(u.seen["divergence/estimate"])});
  check_same(u.seen["divergence/mean_field"], loss.mean_field);
  check_same(u.seen["divergence/target"], loss.target);
  check_same(u.seen["divergence/gradient"], loss.gradient);
}

TEST_CASE("MFPO: proposals are scored by the online critics after their step") {
  ArenaScope scope;
  OneUpdate u(fast());
  u.run();
  const Tensor proposals = MfpoPhases::all_proposals(rows, single(u.seen["proposals/policy"]),
                                                     single(u.seen["proposals/gaussian"]));
  const auto q = [&] { return u.phases.critic.values(u.phases.critic.online, u.batch.state, proposals); };
  CHECK(difference(u.seen["proposals/q1"], q().q[0]) > 1e-3);   // of before
  u.follow();
  check_same(u.seen["proposals/q1"], q().q[0]);
  check_same(u.seen["proposals/q2"], q().q[1]);
  check_same(u.seen["proposals/q"], q().chosen);
}

TEST_CASE("MFPO: the actor regresses on the mixed velocity, from its parameters before the step") {
  ArenaScope scope;
  OneUpdate u(fast());
  u.run();
  const FlowTimes time{single(u.seen["flow/t"]), single(u.seen["flow/r"]), rows / 4};
  const auto loss =
      u.phases.actor_loss(u.batch.state, single(u.seen["flow/x"]), time, single(u.seen["velocity/mixed"]));
  check_same(u.seen["actor/mean_field"], loss.mean_field);
  check_same(u.seen["actor/target"], loss.target);
  check_same(u.seen["actor/gradient"], loss.gradient);
}

TEST_CASE("MFPO: the temperature is the exponential of its parameter in target, weights and log") {
  ArenaScope scope;
  OneUpdate u(fast());
  const double alpha = std::exp(double(parameters(u.agent, "temperature/")[0]));
  CHECK(alpha == doctest::Approx(0.3));
  u.run();
  CHECK(metric(u.agent, u.metrics, "alpha") == doctest::Approx(alpha));
  CHECK(u.agent.alpha() == doctest::Approx(std::exp(double(parameters(u.agent, "temperature/")[0]))));

  const Tensor z = empty(1, 21, DType::float64);
  for (int j = 0; j < 21; ++j) z.as<double>()[j] = -5 + 10 * j / 20.0;
  const Value soft = Value(z) - alpha * Value(u.seen["next/log_prob"]);
  const Value positions = clip(Value(twofold(u.batch.reward)) + 0.99 * (Value(twofold(u.batch.mask)) * soft), -5, 5);
  CHECK(difference(u.seen["target/positions"], positions) < 1e-6);   // a few roundings

  const Value q = u.seen["proposals/q"], t = repeat_rows(u.seen["flow/t"], 4), a = u.seen["proposals/policy"];
  const Value distance = sum_row(square(repeat_rows(u.seen["flow/x"], 4) - (1 - t) * a)) / (2 * square(t));
  const Value log_policy = slice_columns(q, 0, 4) / alpha - reshape(distance + u.seen["proposals/log_prob"], rows, 4);
  CHECK(difference(u.seen["weights/log_policy"], log_policy) < 1e-5);
  CHECK(difference(u.seen["weights/log_gaussian"], slice_columns(q, 4, 6) / alpha) < 1e-5);
}

// Too much entropy lowers the temperature, too little raises it: by Adam's rate in the first step.
TEST_CASE("MFPO: the temperature's direction") {
  const auto log_alpha_after = [&](double target, bool tune) {
    MfpoSettings s = fast();
    s.target_entropy_per_action = target / A, s.tune_alpha = tune;
    OneUpdate u(s);
    u.run();
    const float entropy = metric(u.agent, u.metrics, "entropy");   // about that of the noise, 2.8
    CHECK((1 < entropy && entropy < 5));
    return double(parameters(u.agent, "temperature/")[0]);
  };
  CHECK(log_alpha_after(1, true) == doctest::Approx(std::log(0.3) - 0.01).epsilon(1e-4));
  CHECK(log_alpha_after(5, true) == doctest::Approx(std::log(0.3) + 0.01).epsilon(1e-4));
  CHECK(log_alpha_after(5, false) == doctest::Approx(std::log(0.3)).epsilon(1e-6));
}

// The derivative of alpha (entropy - target) by log alpha is the loss itself.
TEST_CASE("MFPO: the temperature's loss and gradient are alpha (entropy - target)") {
  ArenaScope scope;
  MfpoSettings s = fast();
  s.target_entropy_per_action = 1.5;
  OneUpdate u(s);
  u.run();
  const double entropy = element(-mean_all(u.seen["proposals/log_prob"]), 0), expected = 0.3 * (entropy - 1.5 * A);
  CHECK(element(u.seen["temperature/entropy"], 0) == doctest::Approx(entropy).epsilon(1e-6));
  CHECK(element(u.seen["temperature/loss"], 0) == doctest::Approx(expected).epsilon(1e-5));
  CHECK(element(u.seen["temperature/gradient"], 0) == doctest::Approx(expected).epsilon(1e-5));
}
