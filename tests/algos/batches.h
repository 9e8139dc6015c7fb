#pragma once

// What the tests of the algorithms share: batches to learn from, and a look into a learner's networks.

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "../core/derivatives.h"
#include <meander/algos/learner.h>

namespace meander::testing {

struct Data {
  std::vector<float> numbers;
  Batch batch;
};

// Memory for a batch of h actions and n rewards a row.
inline Data empty_batch(int64_t rows, int observations, int actions, int64_t h = 1, int64_t n = 1) {
  Data d;
  d.numbers.resize(static_cast<size_t>(rows * (2 * observations + h * actions + 2 * n + 1)));
  float* next = d.numbers.data();
  const auto take = [&](int64_t cols) {
    const Tensor t = view(next, rows, cols);
    next += rows * cols;
    return t;
  };
  d.batch.state = take(observations), d.batch.action = take(h * actions), d.batch.reward = take(n);
  d.batch.mask = take(1), d.batch.next_state = take(observations), d.batch.valid = take(n);
  return d;
}

// Random steps, all valid, every seventh row with a true end.
inline Data random_batch(int64_t rows, int observations, int actions, uint64_t seed, int64_t h = 1, int64_t n = 1) {
  Data d = empty_batch(rows, observations, actions, h, n);
  Stream random(seed, Purpose::test, 0);
  for (float& x : d.numbers) x = static_cast<float>(random.normal());
  for (int64_t i = 0; i < d.batch.action.size(); ++i)
    d.batch.action.f32()[i] = static_cast<float>(random.uniform(-1, 1));
  std::fill_n(d.batch.valid.f32(), d.batch.valid.size(), 1.0f);
  for (int64_t i = 0; i < rows; ++i) d.batch.mask.f32()[i] = float(i % 7 != 0);
  return d;
}

// One-step episodes whose reward is a function of the action.
template <class F>
Data bandit(int64_t rows, int observations, int actions, uint64_t seed, F&& reward) {
  Data d = random_batch(rows, observations, actions, seed);
  for (int64_t i = 0; i < rows; ++i) {
    d.batch.mask.f32()[i] = 0;
    d.batch.reward.f32()[i] = static_cast<float>(reward(d.batch.action.f32() + i * actions));
  }
  return d;
}

// One update -> its metrics.
inline std::vector<float> update(Agent& agent, const Batch& batch, uint64_t step = 1) {
  std::vector<float> metrics(agent.metric_names().size());
  agent.update(batch, step, metrics);
  return metrics;
}

inline const Network& network(Learner& learner, const std::string& name) {
  for (const Network& n : learner.networks())
    if (n.name == name) return n;
  throw Error("no network " + name);
}

// Parameters, moments and targets.
inline std::vector<float> all_parameters(Learner& learner) {
  std::vector<float> all;
  for (const Network& n : learner.networks())
    for (const Buffer* b : {&n.train_state->params, &n.train_state->m, &n.train_state->v})
      all.insert(all.end(), b->data(), b->data() + b->size());
  return all;
}

inline std::vector<float> parameters(Learner& learner, const std::string& name) {
  const Buffer& b = network(learner, name).train_state->params;
  return {b.data(), b.data() + b.size()};
}

inline Tensor in_double(Learner& learner, const std::string& name) {
  return cast(network(learner, name).train_state->tensor(), DType::float64);
}

// Every output of the network becomes `value`, whatever its input.
inline void make_constant(const Network& n, double value) {
  std::fill_n(n.train_state->params.data(), n.train_state->params.size(), 0.0f);
  const ParameterInfo& bias = n.layout->entries().back();   // of the last layer
  std::fill_n(n.train_state->params.data() + bias.offset, bias.size(), static_cast<float>(value));
}
inline void make_constant(Learner& learner, const std::string& name, double value) {
  make_constant(network(learner, name), value);
}

// The gradient of a network's first update: Adam's first moment, from 0, over 1 - b1 = .1.
inline Tensor first_gradient(Learner& learner, const std::string& name) {
  const Buffer& m = network(learner, name).train_state->m;
  const Tensor g = empty(1, m.size(), DType::float64);
  for (int64_t i = 0; i < m.size(); ++i) g.as<double>()[i] = double(m.data()[i]) / 0.1;
  return g;
}

inline float metric(const Agent& agent, const std::vector<float>& metrics, const std::string& name) {
  for (size_t i = 0; i < metrics.size(); ++i)
    if (agent.metric_names()[i] == name) return metrics[i];
  FAIL("no metric " << name);
  return 0;
}

// The normals an agent of this seed draws.
inline Tensor agent_normals(uint64_t seed, Purpose purpose, uint64_t step, int64_t rows, int64_t cols) {
  const Tensor x = empty(rows, cols);
  kernels::philox_normal({seed, static_cast<uint32_t>(purpose), step}, nullptr, x.size(), x.f32());
  return x;
}

inline Tensor single(Tensor x) { return cast(x, DType::float32); }
inline Tensor twofold(Tensor x) { return cast(x, DType::float64); }

// v - (t - r) du/dt with the derivative along the flow by central differences; u(x, t, r) in double.
template <class U>
Tensor mean_flow_target(U&& u, Value x, Value t, Value r, Value v) {
  const double step = 1e-5;
  const auto at = [&](double by) { return u(x + by * v, t + by, r); };
  return (v - (t - r) * ((at(step) - at(-step)) / (2 * step))).detached;
}

}  // namespace meander::testing
