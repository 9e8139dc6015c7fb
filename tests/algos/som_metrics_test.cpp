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
