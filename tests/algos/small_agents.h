#pragma once

// Small agents of every algorithm, by name, and the quantities of their updates.

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <meander/algos/settings.h>
#include "batches.h"

namespace meander::testing {

inline constexpr int S = 5, A = 2, rows = 32;

// An agent and its kind as a learner.
struct Made {
  std::unique_ptr<Agent> agent;
  Learner& learner;
};

// `more`: further settings by name.
inline Made make(const std::string& name, uint64_t seed, const std::map<std::string, double>& more = {}) {
  const auto settings = make_algorithm(name);
  std::map<std::string, double> numbers = {
      {"batch_size", rows}, {"actor_width", 24}, {"critic_width", 24}, {"width", 24}, {"actor_layers", 2},
      {"critic_layers", 2}, {"layers", 2}, {"policy_proposals", 4}, {"gaussian_proposals", 6}, {"atoms", 21},
      {"v_min", -5}, {"v_max", 5}, {"proposals", 7}, {"candidates", 4}, {"horizon", 3}, {"noise_interval", 2},
      {"target_rate", 0.05}};
  for (const auto& [key, value] : more) numbers[key] = value;
  for (const Setting& s : settings->settings()) {
    if (!numbers.count(s.key)) continue;
    if (auto* const* integer = std::get_if<int64_t*>(&s.value)) **integer = static_cast<int64_t>(numbers[s.key]);
    if (auto* const* real = std::get_if<double*>(&s.value)) **real = numbers[s.key];
    if (auto* const* flag = std::get_if<bool*>(&s.value)) **flag = numbers[s.key] != 0;
  }
  auto agent = settings->make_agent(S, A, seed);
  auto& learner = dynamic_cast<Learner&>(*agent);
  return {std::move(agent), learner};
}

inline Data data_for(const Agent& agent, uint64_t seed) {
  return random_batch(rows, S, A, seed, agent.chunk(), agent.return_steps());
}

// Moves all parameters of a network by normals of this scale; a single one by the scale itself.
inline void shake(Learner& learner, const std::string& name, uint64_t seed, double scale = 0.3) {
  Buffer& params = network(learner, name).train_state->params;
  Stream random(seed, Purpose::test, 2);
  for (int64_t i = 0; i < params.size(); ++i)
    params.data()[i] += static_cast<float>(params.size() == 1 ? scale : scale * random.normal());
}

// The quantities of the updates from now on, each as it was seen last, in double.
class Seen {
 public:
  explicit Seen(Learner& learner) : learner_(learner) {
    learner.observe([this](const Quantity& q) {
      std::vector<double> numbers(static_cast<size_t>(q.value.size()));
      if (q.value.dtype == DType::int32) std::copy_n(q.value.as<int32_t>(), numbers.size(), numbers.begin());
      else std::copy_n(q.value.f32(), numbers.size(), numbers.begin());
      all_[q.name] = {std::move(numbers), q.value.rows, q.value.cols};
    });
  }
  ~Seen() { learner_.observe({}); }
  Seen(const Seen&) = delete;

  Tensor operator[](const std::string& name) const {
    const auto found = all_.find(name);
    if (found == all_.end()) throw Error("no quantity " + name);
    return view(found->second.numbers.data(), found->second.rows, found->second.cols);
  }

 private:
  struct Kept {
    std::vector<double> numbers;
    int64_t rows, cols;
  };
  Learner& learner_;
  std::map<std::string, Kept> all_;
};

}  // namespace meander::testing
