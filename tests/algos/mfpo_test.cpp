// Protects MFPO's own: every switch and what it logs.
#include <meander/algos/mfpo.h>

#include <cmath>

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
