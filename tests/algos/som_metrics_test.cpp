// Protects SOM's effective sample sizes, logged by tenths of the flow's time.
#include <meander/algos/som.h>

#include <numeric>

#include "batches.h"

using namespace meander;
using namespace meander::testing;

TEST_CASE("effective proposals are logged by the tenth that t is in, for either standardisation") {
  constexpr int rows = 16, proposals = 6;
  int empty = 0, crowded = 0;
  for (const char* standardise : {"all", "state"}) {
    SomSettings s;
    s.batch_size = rows, s.proposals = proposals, s.candidates = 2, s.policy_interval = 1;
    s.actor_width = s.critic_width = 16, s.actor_layers = s.critic_layers = 2;
    s.standardise = standardise;   // the weights that the update reports are those of this one
    Som agent(5, 2, s, 3);
    std::vector<double> t, weights;
    agent.observe([&](const Quantity& q) {
      const std::string name = q.name;
      if (name.starts_with("ess_")) CHECK(q.value.size() == 1);
      if (name == "actor/t") t.assign(q.value.f32(), q.value.f32() + q.value.size());
      if (name == "weights/softmax") weights.assign(q.value.f32(), q.value.f32() + q.value.size());
    });
    const std::vector<float> metrics = update(agent, random_batch(rows, 5, 2, 1).batch);

    std::vector<double> tenths[10], all;
    for (size_t i = 0; i < rows; ++i) {
      const auto row = weights.begin() + static_cast<std::ptrdiff_t>(i * proposals);
      all.push_back(1 / std::inner_product(row, row + proposals, row, 0.0));
      tenths[static_cast<int>(10 * t[i])].push_back(all.back());
    }
    for (int d = 0; d < 10; ++d) {
      const std::vector<double>& inside = tenths[d].empty() ? all : tenths[d];
      const double mean = std::accumulate(inside.begin(), inside.end(), 0.0) / double(inside.size());
      empty += tenths[d].empty(), crowded += tenths[d].size() > 1;
      // A few ulp of float32 for sums of a few numbers.
      CHECK(metric(agent, metrics, std::string("ess_") + standardise + "_" + std::to_string(d)) ==
            doctest::Approx(mean).epsilon(1e-5));
    }
  }
  CHECK(empty > 0);
  CHECK(crowded > 0);
}

// The slope of sum_b log sum_k exp(alpha Qn) by Q, mean and deviation moving with it, against differences in double; it is
// not that of constants, and the score is made of it.
TEST_CASE("SOM: the gradient through the mean and the deviation that Q is standardised by") {
  ArenaScope scope;
  for (const std::string over : {"all", "state"}) {
    CAPTURE(over);
    SomSettings s;
    s.actor_width = s.critic_width = 16, s.actor_layers = s.critic_layers = 2;
    s.standardise_gradient = true, s.inverse_temperature = 1.5;
    const Som agent(5, 2, s, 3);
    const Tensor q = random_matrix(4, 6, 1), d = random_matrix(4, 6, 2);
    const auto objective = [&](double by) {
      double sum = 0, mean = 0, square = 0;
      const auto at = [&](int64_t i) { return q.as<double>()[i] + by * d.as<double>()[i]; };
      const auto measure = [&](int64_t first, int64_t count) {
        mean = square = 0;
        for (int64_t i = first; i < first + count; ++i) mean += at(i) / double(count);
        for (int64_t i = first; i < first + count; ++i) square += (at(i) - mean) * (at(i) - mean) / double(count);
      };
      measure(0, 24);
      for (int64_t b = 0; b < 4; ++b) {
        if (over == "state") measure(6 * b, 6);
        double row = 0;
        for (int64_t k = 0; k < 6; ++k) row += std::exp(1.5 * (at(6 * b + k) - mean) / (std::sqrt(square) + 1e-6));
        sum += std::log(row);
      }
      return sum;
    };
    const Som::ProposalWeights weights = agent.proposal_weights(q, over);
    const double along = element(sum_all(Value(weights.slope) * Value(d)), 0);
    CHECK(std::abs(along - (objective(1e-5) - objective(-1e-5)) / 2e-5) < 1e-7);
    const Value constant = 1.5 * (Value(weights.softmax) / Value(weights.deviation));
    CHECK(difference(weights.slope, constant) > 1e-2);

    const Tensor gradient = random_matrix(24, 2, 3), mu = full(4, 1, 0.5, DType::float64);
    const Tensor score = agent.score(weights, gradient, {{}, mu, {}});
    for (int64_t j = 0; j < 2; ++j) {
      double expected = 0;
      for (int64_t k = 0; k < 6; ++k) expected += element(weights.slope, k) * element(gradient, 2 * k + j) / 0.5;
      CHECK(element(score, j) == doctest::Approx(expected));
    }
  }
}
