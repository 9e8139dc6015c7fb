// Protects what MVP and QC share, chunks and their critics, by an example worked by hand from the replay on, and QC's
// own: its Euler steps and its flow matching against plain computations.
#include <meander/algos/qc.h>

#include <cmath>

#include <meander/algos/replay.h>
#include "batches.h"

using namespace meander;
using namespace meander::testing;

namespace {

constexpr int S = 1, A = 2, h = 5;
constexpr uint64_t seed = 3;

QcSettings small() {
  QcSettings s;
  s.chunk.batch_size = 4;
  s.chunk.discount = 0.9;
  s.chunk.horizon = h;
  s.chunk.actor_width = s.chunk.critic_width = 16;
  s.chunk.actor_layers = s.chunk.critic_layers = 2;
  s.chunk.candidates = 4;
  return s;
}

// Steps 0 to 24, observed as their number, in chunks of five:
//    0 to  4  nothing happens                          rewards 1 2 3 4 5
//    5 to  9  success at 7, the recording goes on      rewards 0 0 1 0 0
//   10 to 14  an episode is cut off after 11           rewards 7 8 9 9 9
//   15 to 19  success on the last step ends it         rewards 0 0 0 0 1
//   20 to 24  an episode ends truly after 21           rewards 6 6 6 6 6
// -> the rows of these five chunks of h actions, with n rewards.
Data worked_example(int64_t actions, int64_t n) {
  Replay replay(1, 100, S, A);
  const float rewards[] = {1, 2, 3, 4, 5, 0, 0, 1, 0, 0, 7, 8, 9, 9, 9, 0, 0, 0, 0, 1, 6, 6, 6, 6, 6};
  const auto observation = [](int i) { return std::vector<float>{static_cast<float>(i)}; };
  replay.begin_episode(0, observation(0));
  for (int i = 0; i < 25; ++i) {
    const bool cut = i == 11, end = i == 19 || i == 21;
    const float action[A] = {0.01f * static_cast<float>(i), -0.02f * static_cast<float>(i)};
    replay.append(0, action, rewards[i], end || i == 7, cut || end, observation(i + 1));
    if (cut || end) replay.begin_episode(0, observation(i + 1));
  }
  Data all = empty_batch(500, S, A, actions, n), five = empty_batch(5, S, A, actions, n);
  replay.sample({1, 2, 3}, all.batch);
  for (int64_t row = 0; row < 5; ++row) {
    int64_t from = 0;
    while (from < 500 && all.batch.state.f32()[from] != float(5 * row)) ++from;
    REQUIRE(from < 500);
    for (Tensor Batch::*part : {&Batch::state, &Batch::action, &Batch::reward, &Batch::mask, &Batch::next_state,
                                &Batch::valid}) {
      const Tensor source = all.batch.*part, to = five.batch.*part;
      std::copy_n(source.f32() + from * source.cols, source.cols, to.f32() + row * to.cols);
    }
  }
  return five;
}

// With gamma = .9 and a next value of (2 + 4) / 2 = 3: gamma^5 3 = .59049 * 3 = 1.77147.
//   1 + .9 2 + .81 3 + .729 4 + .6561 5 + 1.77147, .81, (does not count), .6561, (does not count)
constexpr double targets[] = {13.19797, 0.81, 0, 0.6561, 0};
constexpr bool counts[] = {true, true, false, true, false};

Value network_in_double(ChunkLearner& agent, const char* name, const FlowNetwork& net, Value state, Value x, double t) {
  return net(in_double(agent, name), state, x, full(x.rows(), 1, t, DType::float64), Value());
}

// Networks of two hidden layers in float32 keep about six digits.
constexpr double rounding = 1e-5;

}  // namespace

// h = n = 5, and h = 1 with five rewards (BFN-n): the same returns, and one action each.
TEST_CASE("targets, weights and losses of five chunks worked by hand") {
  for (const int64_t actions : {h, 1}) {
    ArenaScope scope;
    CAPTURE(actions);
    QcSettings s = small();
    s.chunk.horizon = actions, s.chunk.return_steps = 5;
    Qc agent(S, A, s, seed);
    CHECK(agent.chunk() == actions);
    CHECK(agent.return_steps() == 5);
    make_constant(agent, "target1/", 2);
    make_constant(agent, "target2/", 4);
    make_constant(agent, "critic1/", 1);
    const Data data = worked_example(actions, 5);
    const Batch& b = data.batch;
    CHECK(std::vector<float>(b.mask.f32(), b.mask.f32() + 5) == std::vector<float>{1, 0, 1, 0, 0});

    const Tensor target = agent.critics().target(b, zeros(5, actions * A));
    double loss = 0, slope = 0;
    for (int i = 0; i < 5; ++i) {
      if (counts[i]) CHECK(target.f32()[i] == doctest::Approx(targets[i]).epsilon(1e-6));   // a few roundings
      if (counts[i]) loss += std::pow(1 - targets[i], 2) / 5, slope += 2 * (1 - targets[i]) / 5;   // of all five rows
    }
    const auto critic = agent.critics().loss(0, b, target);
    CHECK(critic.loss == doctest::Approx(loss).epsilon(rounding));
    // The last parameter is the bias that the constant critic is made of.
    CHECK(critic.gradient.f32()[critic.gradient.size() - 1] == doctest::Approx(slope).epsilon(rounding));

    const float steps_valid[5][h] = {
        {1, 1, 1, 1, 1}, {1, 1, 1, 1, 1}, {1, 1, 0, 0, 0}, {1, 1, 1, 1, 1}, {1, 1, 0, 0, 0}};
    const Tensor valid = agent.valid_actions(b);
    CHECK(valid.cols == actions * A);
    for (int i = 0; i < 5; ++i)
      for (int j = 0; j < actions * A; ++j) CHECK(valid.f32()[i * actions * A + j] == steps_valid[i][j / A]);
  }
}

// Q in double, from the layer-by-layer composite.
static Value critic(Qc& agent, const char* name, Value state, Value action) {
  const TwinCritic same(S, action.cols(), {16, 2, kernels::Activation::gelu, kernels::Norm::after_activation},
                        TwinCritic::Chosen::smaller, seed);
  return mlp_composite(same.trunk(), in_double(agent, name), concat_columns(state, action));
}

TEST_CASE("the best candidate by the mean of the online critics, valued by the mean of the targets") {
  ArenaScope scope;
  Qc agent(S, A, small(), seed);
  constexpr int B = 3, K = 7;
  const Tensor state = random_matrix(B, S, 1);
  const Choice choice = agent.best_candidate(single(state), single(random_matrix(B * K, h * A, 2)));
  const Value states = repeat_rows(state, K), action = twofold(choice.action);
  const Value q = critic(agent, "critic1/", states, action) + critic(agent, "critic2/", states, action);
  for (int i = 0; i < B; ++i) {
    int best = 0;
    for (int k = 1; k < K; ++k) best = element(q, K * i + k) > element(q, K * i + best) ? k : best;
    for (int j = 0; j < h * A; ++j)
      CHECK(choice.chosen.f32()[h * A * i + j] == choice.action.f32()[h * A * (K * i + best) + j]);
  }
  CHECK(difference(2 * Value(choice.q), reshape(q, B, K)) < rounding);

  network(agent, "target1/").train_state->params.data()[1] += 0.3f;   // not the online critics'
  Data data = random_batch(B, S, A, 5, h, h);
  std::copy_n(single(state).f32(), B, data.batch.next_state.f32());
  const Value next = twofold(choice.chosen);
  const Value value = 0.5 * (critic(agent, "target1/", state, next) + critic(agent, "target2/", state, next));
  const Tensor y = agent.critics().target(data.batch, choice.chosen);
  for (int i = 0; i < B; ++i) {
    double expected = std::pow(0.9, 5) * data.batch.mask.f32()[i] * element(value, i);
    for (int k = 0; k < h; ++k) expected += std::pow(0.9, k) * data.batch.reward.f32()[h * i + k];
    CHECK(y.f32()[i] == doctest::Approx(expected).epsilon(rounding));
  }
}

// One candidate is nothing to choose from: the critics are not asked.
TEST_CASE("acting takes the best candidate, a single one as it is") {
  QcSettings one = small(), many = small();
  one.chunk.candidates = 1;
  Qc single_one(S, A, one, seed), agent(S, A, many, seed);
  const float state[S] = {0.4f};
  float chunk[h * A];
  for (uint64_t i = 0; i < 3; ++i) {
    ArenaScope scope;
    single_one.explore(state, i, chunk);
    const Tensor noise = agent_normals(seed, Purpose::explore, i, 1, h * A);
    const Tensor sample = single_one.best_candidate(view(state, 1, S), noise).action;
    CHECK(std::equal(chunk, chunk + h * A, sample.f32()));
    agent.act(state, i, chunk);
    const Choice best = agent.best_candidate(view(state, 1, S), agent_normals(seed, Purpose::evaluate, i, 4, h * A));
    CHECK(std::equal(chunk, chunk + h * A, best.chosen.f32()));
  }
}

TEST_CASE("ten Euler steps at t = 1, .9, ..., .1, clipped") {
  ArenaScope scope;
  Qc agent(S, A, small(), seed);
  const FlowNetwork net(S, h * A, {16, 2, kernels::Activation::gelu, kernels::Norm::none}, h * A, Times::plain_t);
  const Tensor state = random_matrix(3, S, 1), noise = random_matrix(3, h * A, 2);
  Value x = noise;
  for (int i = 10; i >= 1; --i) x = x - network_in_double(agent, "actor/", net, state, x, i / 10.0) / 10;
  const Tensor action = agent.best_candidate(single(state), single(noise)).action;
  CHECK(difference(action, clip(x, -1, 1)) < rounding);
  CHECK(difference(action, x) > 0.1);   // some were outside
}

// mean over B, h and A of valid_i (v(s, x_t, t) - (e - a))^2, a always the replay's.
TEST_CASE("flow matching on the chunks of the example") {
  ArenaScope scope;
  Qc agent(S, A, small(), seed);
  const Data data = worked_example(h, h);
  const Tensor noise = random_matrix(5, h * A, 1), t = sigmoid(random_matrix(5, 1, 2)).detached;
  const auto loss = agent.actor_loss(data.batch, single(noise), single(t));
  const FlowNetwork net(S, h * A, {16, 2, kernels::Activation::gelu, kernels::Norm::none}, h * A, Times::plain_t);
  const Tensor action = twofold(data.batch.action), state = twofold(data.batch.state);
  const Tensor x = ((1 - Value(t)) * Value(action) + Value(t) * Value(noise)).detached;
  const auto expected = [&](Value params) {
    const Value v = net(params, state, x, t, Value());
    double sum = 0;
    for (int i = 0; i < 5; ++i)
      for (int j = 0; j < h * A; ++j) {
        const int at = i * h * A + j;
        const bool valid = i % 2 == 1 || i == 0 || j < 2 * A;   // chunks 2 and 4 end with their second step
        sum += valid * std::pow(element(v, at) - (noise.as<double>()[at] - action.as<double>()[at]), 2) / (5 * h * A);
      }
    return sum;
  };
  const Tensor params = in_double(agent, "actor/"), d = random_matrix(1, params.size(), 4);
  CHECK(loss.loss == doctest::Approx(expected(params)).epsilon(rounding));
  const auto along = [&](double by) { return expected(Value(params) + by * Value(d)); };
  // A sum over all parameters: more digits cancel.
  CHECK(dot(loss.gradient, d) == doctest::Approx((along(1e-6) - along(-1e-6)) / 2e-6).epsilon(1e-4));
}

// Offline or not, QC imitates the data, and both networks step from the parameters before the update.
TEST_CASE("an update") {
  Qc agent(S, A, small(), seed), offline(S, A, small(), seed);
  Data data = random_batch(4, S, A, 5, h, h);
  std::vector<float> metrics(3), others(3);
  agent.update(data.batch, 1, metrics);
  ArenaScope scope;
  Qc before(S, A, small(), seed);
  const Tensor t = empty(4, 1);
  kernels::philox_uniform({seed, static_cast<uint32_t>(Purpose::interval_a), 1}, nullptr, 4, t.f32());
  const auto actor = before.actor_loss(data.batch, agent_normals(seed, Purpose::interpolation_noise, 1, 4, h * A), t);
  CHECK(metrics[2] == actor.loss);
  const Tensor noise = agent_normals(seed, Purpose::next_action, 1, 4 * 4, h * A);
  const Tensor y = before.critics().target(data.batch, before.best_candidate(data.batch.next_state, noise).chosen);
  for (int i : {0, 1}) CHECK(metrics[static_cast<size_t>(i)] == before.critics().loss(i, data.batch, y).loss);
  data.batch.offline = true;
  offline.update(data.batch, 1, others);
  CHECK(others == metrics);
  CHECK(all_parameters(offline) == all_parameters(agent));
}

TEST_CASE("a return shorter than the chunk is refused") {
  QcSettings s = small();
  s.chunk.return_steps = 3;
  CHECK_THROWS_WITH_AS(s.make_agent(S, A, 1), doctest::Contains("return_steps 3"), Error);
}
