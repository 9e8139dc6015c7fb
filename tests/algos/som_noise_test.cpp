// Protects SOM's exploration noise: where it ends, when it learns, what it is added to, and Adam's count of its own steps.
#include <meander/algos/som.h>

#include <cmath>
#include <numbers>

#include "batches.h"

using namespace meander;
using namespace meander::testing;

namespace {

constexpr int S = 5, A = 2;
constexpr uint64_t seed = 3;

SomSettings small() {
  SomSettings s;
  s.batch_size = 4, s.proposals = 2, s.candidates = 1;
  s.actor_width = s.critic_width = 16, s.actor_layers = s.critic_layers = 2;
  return s;
}

}  // namespace

// The entropy of N(0, d^2) in A dimensions, A / 2 log(2 pi e d^2), is -.9 A at d = exp(-.9) / sqrt(2 pi e) = .0984.
TEST_CASE("the noise ends at its target entropy, whatever the action's size") {
  for (const int actions : {1, 3}) {
    SomSettings s = small();
    s.noise_interval = 1, s.policy_interval = 1000, s.noise_learning_rate = 0.02;
    Som agent(S, actions, s, seed);
    const Data data = random_batch(4, S, actions, 1);
    CHECK(metric(agent, update(agent, data.batch, 1), "noise_deviation") == doctest::Approx(0.5).epsilon(1e-6));
    float deviation = 0;
    for (uint64_t u = 2; u <= 500; ++u) deviation = metric(agent, update(agent, data.batch, u), "noise_deviation");
    const double expected = std::exp(-0.9) / std::sqrt(2 * std::numbers::pi * std::numbers::e);
    CHECK(expected == doctest::Approx(0.098).epsilon(0.005));
    CHECK(deviation == doctest::Approx(expected).epsilon(0.01));   // Adam's steps of 2 % die out
  }
}

TEST_CASE("exploring adds the noise, acting does not, and it can be off") {
  SomSettings with = small(), without = small();
  with.noise_log_scale = 0, without.exploration_noise = false;
  Som on(S, A, with, seed), off(S, A, without, seed);
  CHECK(metric(off, update(off, random_batch(4, S, A, 1).batch, 1), "noise_deviation") == 0);
  for (Som* agent : {&on, &off}) make_constant(*agent, "actor/", 0);   // actions are the noise of the flow, clipped
  const std::vector<float> state(S, 0.3f);
  double sum = 0;
  int count = 0;
  for (uint64_t i = 0; i < 600; ++i) {
    float a[A], b[A];
    on.act(state, i, a), off.act(state, i, b);
    CHECK(std::equal(a, a + A, b));
    on.explore(state, i, a), off.explore(state, i, b);
    for (int j = 0; j < A; ++j) {
      CHECK(std::abs(a[j]) <= 1);
      if (std::abs(b[j]) < 0.5) sum += std::pow(a[j] - b[j], 2), ++count;   // five deviations from the bounds
    }
  }
  // .1 exp(0); four standard errors of a deviation from some 450 draws are 13 %.
  CHECK(count > 300);
  CHECK(std::sqrt(sum / count) == doctest::Approx(0.1).epsilon(0.13));
}

TEST_CASE("the noise learns at every interval's last update, and its first step is one of Adam's first") {
  SomSettings s = small();
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
