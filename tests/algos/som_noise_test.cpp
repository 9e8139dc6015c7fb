// Protects when SOM's exploration noise learns, and Adam's count of its own steps.
#include <meander/algos/som.h>

#include "batches.h"

using namespace meander;
using namespace meander::testing;

TEST_CASE("the noise learns at every interval's last update, and its first step is one of Adam's first") {
  SomSettings s;
  s.batch_size = 4, s.proposals = 2, s.candidates = 1;
  s.actor_width = s.critic_width = 16, s.actor_layers = s.critic_layers = 2;
  s.noise_interval = 3, s.noise_learning_rate = 0.02;
  Som agent(5, 2, s, 3);
  const Data data = random_batch(4, 5, 2, 1);
  for (uint64_t u = 1; u <= 7; ++u) {
    CAPTURE(u);
    const float before = parameters(agent, "noise/")[0];
    update(agent, data.batch, u);
    const float change = parameters(agent, "noise/")[0] - before;
    CHECK((change != 0) == (u % 3 == 0));
    // By the rate, down: the noise is wider at first than its target. Rounding of l, about 1.6, is 1e-7.
    if (u == 3) CHECK(change == doctest::Approx(-0.02).epsilon(1e-4));
  }
}
