// Protects what the flow map has of its own: the bounded step along Q's gradient and its sign, the anchor, which of two
// values counts in which phase, the intervals that grow, the beam search. (What it shares with QC: qc_test.cpp; whole
// updates: tests/app/verify_learners_test.cpp.)
#include <meander/algos/flow_map.h>

#include <cmath>

#include "../folder.h"
#include <meander/algos/training.h>
#include "batches.h"

using namespace meander;
using namespace meander::testing;

namespace {

constexpr int S = 2, A = 2, h = 2, B = 6, D = h * A;
constexpr uint64_t seed = 3;

FlowMapSettings small() {
  FlowMapSettings s;
  s.chunk.batch_size = B;
  s.chunk.horizon = h;
  s.chunk.candidates = 4;
  s.chunk.actor_width = s.chunk.critic_width = 16;
  s.chunk.actor_layers = s.chunk.critic_layers = 2;
  s.time_features = 8;
  s.adaptive_radius = false;
  s.trust_radius = 0.7;
  s.growth_start = 2, s.growth_length = 4;
  return s;
}

Data online_batch(uint64_t key) { return random_batch(B, S, A, key, h, h); }
Data offline_batch(uint64_t key) {
  Data data = online_batch(key);
  data.batch.offline = true;
  return data;
}

FlowMap::Draws online_draws() {
  FlowMap::Draws d;
  d.interpolation_noise = single(random_matrix(B, D, 11));
  d.time = empty(B, 1);
  for (int i = 0; i < B; ++i) d.time.f32()[i] = float(i + 1) / B;
  return d;
}

// In double, from the layer-by-layer composite: state [n, S], action [n, D] -> [n, 1].
Value critic(FlowMap& agent, const char* name, Value state, Value action) {
  const TwinCritic same(S, D, {16, 2, kernels::Activation::gelu, kernels::Norm::after_activation},
                        TwinCritic::Chosen::smaller, seed);
  return mlp_composite(same.trunk(), in_double(agent, name), concat_columns(state, action));
}

double smaller(FlowMap& agent, const std::vector<float>& state, const std::vector<float>& chunk) {
  ArenaScope scope;
  const Value s = twofold(view(state.data(), 1, S)), a = twofold(view(chunk.data(), 1, D));
  return std::min(element(critic(agent, "critic1/", s, a), 0), element(critic(agent, "critic2/", s, a), 0));
}

}  // namespace

// With actor = anchor, a fixed radius and no masked step the loss is eta^2 / (h A): the target lies eta away.
TEST_CASE("right after the freeze the loss is the squared radius over the numbers of a chunk") {
  FlowMap agent(S, A, small(), seed);
  agent.begin_online();
  ArenaScope scope;
  const Data data = online_batch(5);
  const FlowMap::Draws draws = online_draws();
  const auto target = agent.q_target(data.batch, draws.interpolation_noise, draws.time);
  const auto loss = agent.actor_loss(data.batch, draws, target, 9);
  CHECK(loss.loss == doctest::Approx(0.49 / D).epsilon(1e-5));   // float32 sums of a few squares
  CHECK(loss.q == loss.loss);
  CHECK(loss.self == 0);
}

// The velocity goes against the first critic's gradient, so that the action, x - t u, goes along it: by eta, or, not
// normalised, by eta times the gradient, which is taken where the anchor's clipped action is.
TEST_CASE("the target's action is the anchor's, moved up Q by t eta") {
  for (const bool normalise : {true, false}) {
    FlowMapSettings s = small();
    s.normalise_gradient = normalise;
    FlowMap agent(S, A, s, seed);
    agent.begin_online();
    ArenaScope scope;
    const Data data = online_batch(5);
    const FlowMap::Draws draws = online_draws();
    const auto q = agent.q_target(data.batch, draws.interpolation_noise, draws.time);
    const Value state = twofold(data.batch.state), action = twofold(q.anchor_action);
    const auto v = vjp([&](Value a) { return critic(agent, "critic1/", state, a); }, {action});
    const Tensor g = v.pull({full(B, 1, 1, DType::float64)})[0].detached;
    for (int i = 0; i < B; ++i) {
      double length = 0;
      for (int j = 0; j < D; ++j) length += std::pow(element(g, i * D + j), 2);
      length = normalise ? std::sqrt(length) : 1;
      for (int j = 0; j < D; ++j) {
        const double u = q.anchor_velocity.f32()[i * D + j];
        const double x = q.x.f32()[i * D + j], t = draws.time.f32()[i];
        CHECK(q.anchor_action.f32()[i * D + j] == doctest::Approx(std::clamp(x - t * u, -1.0, 1.0)).epsilon(1e-5));
        CHECK(std::abs(u - q.target.f32()[i * D + j] - 0.7 * element(g, i * D + j) / length) < 1e-5);
      }
    }
  }
}

// eta_b = eta / (1 + beta d_b / mean d), d = |Q1 - Q2| / 2: of constants 3 and 1 it is 1 everywhere, eta / (1 + beta).
TEST_CASE("the radius shrinks where the critics disagree") {
  FlowMapSettings s = small();
  s.adaptive_radius = true, s.disagreement = 0.5;
  FlowMap agent(S, A, s, seed);
  make_constant(agent, "critic1/", 3), make_constant(agent, "critic2/", 1);
  ArenaScope scope;
  const Data data = online_batch(5);
  const FlowMap::Draws draws = online_draws();
  const auto q = agent.q_target(data.batch, draws.interpolation_noise, draws.time);
  for (int i = 0; i < B; ++i) {
    CHECK(q.spread.f32()[i] == 1);
    CHECK(q.radius.f32()[i] == doctest::Approx(0.7 / 1.5).epsilon(1e-6));
  }
}

// The anchor is the actor of the moment before the first step, stays as it is while the actor learns, and is in the
// file.
TEST_CASE("the anchor is frozen once, and a resumed agent keeps it and its phase") {
  const Folder folder;
  FlowMap agent(S, A, small(), seed), resumed(S, A, small(), seed + 1);
  update(agent, offline_batch(1).batch, 1);
  const std::vector<float> before = parameters(agent, "actor/");
  agent.begin_online();
  CHECK(parameters(agent, "anchor/") == before);
  update(agent, online_batch(2).batch, 2);
  CHECK(parameters(agent, "anchor/") == before);
  CHECK(parameters(agent, "actor/") != before);
  SafetensorsWriter file;
  static_cast<Agent&>(agent).save(file);
  file.write(folder.file("agent.safetensors"));
  static_cast<Agent&>(resumed).load(SafetensorsFile(folder.file("agent.safetensors")));
  CHECK(parameters(resumed, "anchor/") == before);
  CHECK(resumed.policy().scores->smaller);
  update(agent, online_batch(3).batch, 3);
  // The random numbers of another seed: the same after it is given the agent's.
  resumed.take_draws_from([&](const std::string& name, int64_t rows, int64_t cols) {
    const auto uniform = [&](Purpose purpose) {
      const Tensor x = empty(rows, cols);
      kernels::philox_uniform({seed, static_cast<uint32_t>(purpose), 3}, nullptr, x.size(), x.f32());
      return x;
    };
    if (name == "time") return uniform(Purpose::truncated_uniform);
    return agent_normals(seed, name == "interpolation_noise" ? Purpose::interpolation_noise : Purpose::next_action, 3,
                         rows, cols);
  });
  update(resumed, online_batch(3).batch, 3);
  CHECK(all_parameters(resumed) == all_parameters(agent));
}

TEST_CASE("a run without offline steps is warned of") {
  TrainingSettings loop;
  CHECK(FlowMapSettings().warning(loop).find("offline_steps") != std::string::npos);
  loop.offline_steps = 1;
  CHECK(FlowMapSettings().warning(loop).empty());
}

TEST_CASE("two critics count by their mean offline and by the smaller online") {
  FlowMap agent(S, A, small(), seed);
  make_constant(agent, "target1/", 4), make_constant(agent, "target2/", 2);
  const Data data = online_batch(5);
  ArenaScope scope;
  const auto next = [&] { return agent.critics().whole_target(data.batch, zeros(B, D)).next.chosen.f32()[0]; };
  CHECK(next() == 3);
  CHECK(!agent.policy().scores->smaller);
  agent.begin_online();
  CHECK(next() == 2);
  CHECK(agent.policy().scores->smaller);
}

// g = clip((k - 2) / 4, 0, 1): nothing at update 2, half at 4, all from 6 on. Uniforms .2 and .6 have the middle .4.
TEST_CASE("intervals grow about their middle from nothing to full length") {
  FlowMap agent(S, A, small(), seed);
  CHECK(agent.growth(1) == 0);
  CHECK(agent.growth(2) == 0);
  CHECK(agent.growth(4) == 0.5);
  CHECK(agent.growth(6) == 1);
  CHECK(agent.growth(60) == 1);
  ArenaScope scope;
  for (const double g : {0.0, 0.5, 1.0}) {
    const FlowTimes time = FlowMap::growing_interval(full(1, 1, 0.2), full(1, 1, 0.6), g);
    CHECK(time.t.f32()[0] == doctest::Approx(0.4 + 0.2 * g));
    CHECK(time.r.f32()[0] == doctest::Approx(0.4 - 0.2 * g));
  }
  // While they are nothing the self-distillation has no weight: the diagonal alone.
  for (const uint64_t step : {uint64_t{2}, uint64_t{4}}) {
    const std::vector<float> metrics = update(agent, offline_batch(step).batch, step);
    const float self = metric(agent, metrics, "self_distillation_loss"), all = metric(agent, metrics, "actor_loss");
    CHECK(self > 0);
    CHECK(all == doctest::Approx(metric(agent, metrics, "diagonal_loss") + (step == 4 ? self : 0)));
  }
}

// Each round keeps the best and moves up the smaller Q: what is found is better than the best of as many, on average.
TEST_CASE("a beam search climbs the smaller Q, and without it the best of N acts") {
  FlowMapSettings s = small();
  s.beam_rounds = 2, s.beam_step = 0.3, s.beam_width = 4;
  FlowMap searching(S, A, s, seed), plain(S, A, small(), seed);
  const std::vector<float> state = {0.2f, -0.4f};
  std::vector<float> searched(D), best(D), again(D);
  double gain = 0;
  for (uint64_t step = 1; step <= 8; ++step) {
    searching.act(state, step, searched), plain.act(state, step, best);
    for (const float x : searched) CHECK(std::abs(x) <= 1);
    gain += smaller(plain, state, searched) - smaller(plain, state, best);
  }
  CHECK(gain > 0);
  searching.act_by_best_of(4);
  searching.act(state, 8, again);
  CHECK(again == best);
}
