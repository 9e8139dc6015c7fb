#pragma once

#include <array>

#include <meander/nn/mlp.h>
#include <meander/nn/ready_weights.h>
#include <meander/nn/trained.h>

namespace meander {

// Two critics Q1, Q2 of a state and an action (or a chunk of actions), one number each, and the targets that follow them.
struct TwinCritic {
  ParameterLayout layout;
  Trained online[2], target[2];

  // `actions`: numbers of the action, or of the whole chunk. Both are initialised, the targets equal.
  TwinCritic(int64_t observations, int64_t actions, const Hidden& hidden, uint64_t seed);

  // state [B, S], action [B K, A] -> Q [B K, 1]
  Value value(Value params, Value state, Value action, const kernels::MlpProducts& = {}) const;
  // (Q, its derivative by the action [B K, A])
  std::pair<Value, Value> value_and_gradient(Value params, Value state, Value action) const;
  // The values of all K actions of each state by both, [B, K]: of the online critics with weights kept ready, and of the
  // targets.
  std::array<Tensor, 2> online_values(Tensor state, Tensor action);
  std::array<Tensor, 2> target_values(Tensor state, Tensor action) const;

  struct Loss {
    Number loss;
    Tensor gradient;
  };
  // scale times the mean over all B rows of weight (Q_i(s, a) - y)^2; y and weight [B, 1], absent: 1.
  Loss loss(int critic, Tensor state, Tensor action, Tensor y, Tensor weight = {}, double scale = 1) const;
  // One step of both critics; `outdate` follows by itself. With a rate above 0 the targets then follow.
  void descend(const Loss (&loss)[2], const kernels::AdamConstants& adam, uint64_t step, double rate = 0);
  // target = (1 - rate) target + rate online
  void follow(double rate);
  void outdate();   // the parameters were changed from outside

  const kernels::MlpShape& trunk() const { return trunk_; }

 private:
  kernels::MlpShape trunk_;
  ReadyWeights ready_[2];
};

}  // namespace meander
