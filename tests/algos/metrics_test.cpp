// Protects what is logged: each number is what its name says, recomputed in double from what the update computed on its
// way and from the parameters before it, and none stands still. (MVP's and QC's losses of the actor: their own tests.)
#include <doctest/doctest.h>

#include <cmath>

#include <meander/algos/som.h>
#include "small_agents.h"

using namespace meander;
using namespace meander::testing;

namespace {

// Sums of some hundred float32 numbers.
constexpr double rounding = 1e-5;

// One update, with what it logs and what it computes on its way.
struct Logged {
  Logged(const std::string& algorithm, const std::map<std::string, double>& settings, uint64_t step = 1)
      : made(make(algorithm, 3, settings)), data(data_for(*made.agent, 4)), seen(made.learner) {
    for (const char* name : {"critic1/", "critic2/"}) shake(made.learner, name, name[6] == '1' ? 1 : 2, 0.1);
    for (const Network& n : made.learner.networks())
      if (n.train_state->params.size() == 1) scalar = n.train_state->params.data()[0];
    numbers = update(*made.agent, data.batch, step);
  }
  double number(const std::string& name) const { return double(metric(*made.agent, numbers, name)); }
  // Of a quantity, all in double.
  double mean(const char* quantity) const { return element(mean_all(seen[quantity]), 0); }
  double mean_squared(Value difference) const { return element(mean_all(square(difference)), 0); }
  double mean_length(const char* quantity) const { return element(mean_all(sqrt(sum_row(square(seen[quantity])))), 0); }

  Made made;
  Data data;
  Seen seen;
  double scalar = 0;   // log alpha, or l of the noise: before the update
  std::vector<float> numbers;
};

// 1 / sum of squares of each row.
Value effective(Value weights) { return full(1, 1, 1, DType::float64) / sum_row(square(weights)); }

void check(const Logged& l, const std::string& name, double expected) {
  CAPTURE(name);
  CHECK(l.number(name) == doctest::Approx(expected).epsilon(rounding));
}

}  // namespace

TEST_CASE("MFPO logs its losses") {
  ArenaScope scope;
  const Logged l("mfpo", {{"alpha", 0.3}, {"target_entropy_per_action", 1.5}});
  const auto cross_entropy = [&](const char* outputs) {
    const Value logits = l.seen[outputs], target = l.seen["target/distribution"];
    return -element(mean_column(sum_row(target * log(softmax(logits)))), 0);
  };
  check(l, "critic_loss1", cross_entropy("critic1/outputs"));
  check(l, "critic_loss2", cross_entropy("critic2/outputs"));
  for (const std::string network : {"actor", "divergence"})
    check(l, network + "_loss",
          l.mean_squared(Value(l.seen[network + "/mean_field"]) - l.seen[network + "/target"]));
  const double entropy = -l.mean("proposals/log_prob");
  check(l, "temperature_loss", std::exp(l.scalar) * (entropy - 1.5 * A));
}

TEST_CASE("MFPO logs the effective proposals of each kind under their own names") {
  ArenaScope scope;
  const Logged l("mfpo", {{"alpha", 0.3}});
  const Value ess1 = effective(l.seen["weights/policy"]), ess2 = effective(l.seen["weights/gaussian"]);
  const double one = element(mean_all(ess1), 0), two = element(mean_all(ess2), 0);
  CHECK(std::abs(one - two) > 0.1);   // the check can tell
  check(l, "ess1", one);
  check(l, "ess2", two);
  const Value share = ess1 / (ess1 + ess2);
  check(l, "lambda", element(mean_all(share), 0));
  const Value mixed = share * Value(l.seen["velocity/policy"]) + (1 - share) * Value(l.seen["velocity/gaussian"]);
  check(l, "velocity_norm", element(mean_all(sqrt(sum_row(square(mixed)))), 0));
}

TEST_CASE("MFPO logs values, entropy, temperature and what is beyond the support") {
  ArenaScope scope;
  const Logged l("mfpo", {{"alpha", 0.3}, {"v_min", -0.75}, {"v_max", 0.5}});
  check(l, "q_mean", element(mean_all(minimum(l.seen["proposals/q1"], l.seen["proposals/q2"])), 0));
  check(l, "entropy", -l.mean("proposals/log_prob"));
  CHECK(l.scalar == doctest::Approx(std::log(0.3)));
  check(l, "alpha", std::exp(l.scalar));

  double below = 0, above = 0;
  const Value mass = 0.5 * (softmax(l.seen["target/logits1"]) + softmax(l.seen["target/logits2"]));
  const Tensor log_prob = l.seen["next/log_prob"];
  for (int i = 0; i < rows; ++i)
    for (int j = 0; j < 21; ++j) {
      const double z = -0.75 + 1.25 * j / 20, soft = z - std::exp(l.scalar) * log_prob.as<double>()[i];
      const double to = double(l.data.batch.reward.f32()[i]) + 0.99 * double(l.data.batch.mask.f32()[i]) * soft;
      (to < -0.75 ? below : above) += to < -0.75 || to > 0.5 ? element(mass, 21 * i + j) / rows : 0;
    }
  CHECK(std::abs(below - above) > 0.02);   // the check can tell
  check(l, "clipped_low", below);
  check(l, "clipped_high", above);
}

TEST_CASE("SAC logs its losses, values, entropy and temperature") {
  ArenaScope scope;
  const Logged l("sac", {{"alpha", 0.3}, {"target_entropy_per_action", 1.5}});
  const Value target = l.seen["target/return"];
  check(l, "critic_loss1", 0.5 * l.mean_squared(Value(l.seen["critic1/outputs"]) - target));
  check(l, "critic_loss2", 0.5 * l.mean_squared(Value(l.seen["critic2/outputs"]) - target));
  const double log_prob = l.mean("actor/log_prob"), alpha = std::exp(l.scalar);
  CHECK(alpha == doctest::Approx(0.3));
  check(l, "actor_loss", alpha * log_prob - l.mean("actor/q"));
  check(l, "temperature_loss", -l.scalar * (log_prob + 1.5 * A));
  check(l, "q_mean", l.mean("actor/q"));
  check(l, "entropy", -log_prob);
  check(l, "alpha", alpha);
}

TEST_CASE("MVP and QC log the loss of either critic") {
  for (const std::string algorithm : {"mvp", "qc"}) {
    ArenaScope scope;
    CAPTURE(algorithm);
    const Logged l(algorithm, {});
    const Value target = l.seen["target/return"];
    check(l, "critic_loss1", l.mean_squared(Value(l.seen["critic1/outputs"]) - target));
    check(l, "critic_loss2", l.mean_squared(Value(l.seen["critic2/outputs"]) - target));
  }
}

TEST_CASE("SOM logs its losses, values and lengths") {
  ArenaScope scope;
  const Logged l("som", {{"policy_interval", 1}, {"adaptive_weight", 0}});
  const Value target = l.seen["target/return"];
  check(l, "critic_loss1", l.mean_squared(Value(l.seen["critic1/outputs"]) - target));
  check(l, "critic_loss2", l.mean_squared(Value(l.seen["critic2/outputs"]) - target));
  const Made before = make("som", 3, {{"adaptive_weight", 0}});
  const FlowTimes time{single(l.seen["actor/t"]), single(l.seen["actor/r"]), 3 * rows / 4};
  check(l, "actor_loss", double(dynamic_cast<Som&>(before.learner)
                                    .actor_loss(l.data.batch.state, single(l.seen["actor/x"]), time,
                                                single(l.seen["velocity"])).loss));
  check(l, "q_mean", l.mean("proposals/q"));
  check(l, "score_norm", l.mean_length("score"));
  check(l, "velocity_norm", l.mean_length("velocity"));
  check(l, "noise_deviation", 0.1 * std::exp(l.scalar));
}

// Where no t is in a tenth, the mean over all rows is logged.
TEST_CASE("SOM logs the effective proposals of each tenth of the times") {
  ArenaScope scope;
  const Logged l("som", {{"policy_interval", 1}});
  const Value q = l.seen["proposals/q"];
  const Tensor t = l.seen["actor/t"];
  for (const std::string over : {"all", "state"}) {
    CAPTURE(over);
    const bool all = over == "all";
    const Value centred = q - (all ? mean_all(q) : mean_row(q));
    const Value deviation = sqrt(all ? mean_all(square(centred)) : mean_row(square(centred))) + 1e-6;
    const Value ess = effective(softmax(centred / deviation));
    for (int d = 0; d < 10; ++d) {
      double sum = 0, count = 0, whole = 0;
      for (int i = 0; i < rows; ++i) {
        const bool inside = int(10 * t.as<double>()[i]) == d;
        sum += inside * element(ess, i), count += inside, whole += element(ess, i) / rows;
      }
      check(l, "ess_" + over + "_" + std::to_string(d), count > 0 ? sum / count : whole);
    }
  }
}

TEST_CASE("no logged number stands still or is 0") {
  for (const std::string& name : algorithm_names()) {
    CAPTURE(name);
    const Made made = make(name, 3, {{"v_min", -0.75}, {"v_max", 0.5}, {"policy_interval", 1}, {"noise_interval", 1},
                                 {"alpha", 0.3}, {"normalise_q", 1}, {"online_diagonal", 0.5},
                                 {"online_self_distillation", 0.25}});
    if (name == "flow_map") shake(made.learner, "anchor/", 9);   // as after some updates
    std::vector<std::vector<float>> logged;
    for (uint64_t u = 1; u <= 3; ++u) logged.push_back(update(*made.agent, data_for(*made.agent, u).batch, u));
    for (size_t i = 0; i < logged[0].size(); ++i) {
      CAPTURE(std::string(made.agent->metric_names()[i]));
      for (size_t u = 0; u < 3; ++u) CHECK(logged[u][i] != 0);
      CHECK(logged[0][i] != logged[1][i]);
      CHECK(logged[1][i] != logged[2][i]);
    }
    // Nor are two of them one.
    for (size_t i = 0; i < logged[0].size(); ++i)
      for (size_t j = 0; j < i; ++j) {
        CAPTURE(std::string(made.agent->metric_names()[i]));
        CAPTURE(std::string(made.agent->metric_names()[j]));
        CHECK((logged[0][i] != logged[0][j] || logged[1][i] != logged[1][j] || logged[2][i] != logged[2][j]));
      }
  }
}
