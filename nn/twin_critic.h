#pragma once

#include <array>

#include <meander/kernels/mlp_shape.h>
#include <meander/kernels/optimiser.h>
#include <meander/nn/mlp.h>
#include <meander/nn/train_state.h>

namespace meander {

// The atoms of a distributional critic (C51): z_j = linspace(v_min, v_max, count), returns.
struct Atoms {
  int64_t count;
  double v_min, v_max;
};

// Two critics Q1, Q2 of a state and an action (or a chunk of actions), and the targets that follow them. The outputs of
// a critic are one number, Q, or the logits of the return's distribution over atoms, of which Q is the mean.
struct TwinCritic {
  enum class Chosen { smaller, mean };      // of the two values: clipped double Q, or half of either
  ParameterLayout layout;
  TrainState online[2], target[2];

  // `actions`: numbers of the action, or of the whole chunk. Both are initialised, the targets equal.
  TwinCritic(int64_t observations, int64_t actions, const Hidden& hidden, Chosen chosen, uint64_t seed);
  TwinCritic(int64_t observations, int64_t actions, const Hidden& hidden, const Atoms& atoms, Chosen chosen,
             uint64_t seed);

  // state [B, S], action [B K, A]: K actions a state. -> [B K, 1], or [B K, atoms]. Other products than the default's
  // only where no derivative is wanted.
  Value outputs(Value params, Value state, Value action, const kernels::MlpProducts& = {}) const;
  // Q, or sum_j softmax(outputs)_j z_j, [B K, 1]
  Value value(Value params, Value state, Value action, const kernels::MlpProducts& = {}) const;
  // (Q, its derivative by the action [B K, A]), without atoms.
  std::pair<Value, Value> value_and_gradient(Value params, Value state, Value action) const;
  // Q of the two online critics and the smaller of them, [B K, 1], and its derivative by the action, [B K, A]; without
  // atoms.
  struct Smaller {
    Tensor q1, q2, q, gradient;
  };
  Smaller smaller_and_gradient(Tensor state, Tensor action) const;
  // The smaller of the two, or their mean.
  Value choose(Value q1, Value q2) const;
  void choose_by(Chosen chosen) { chosen_ = chosen; }   // from now on

  // Q of all K actions of each state by the two online or target critics, [B, K], and what is chosen of both.
  struct Estimates {
    std::array<Tensor, 2> q;
    Tensor chosen;
  };
  Estimates values(const TrainState (&critics)[2], Tensor state, Tensor action,
                   kernels::Precision = kernels::Precision::float32) const;

  struct Loss {
    Number loss;
    Tensor gradient;                        // [1, parameters]
    Tensor outputs;
  };
  // scale times the mean over all B rows of weight (Q_i(s, a) - y)^2; y and weight [B, 1], absent: 1.
  Loss loss(int critic, Tensor state, Tensor action, Tensor y, Tensor weight = {}, double scale = 1) const;
  // The mean cross-entropy of the outputs to a distribution [B, atoms].
  Loss cross_entropy(int critic, Tensor state, Tensor action, Tensor distribution) const;
  // One step of both critics. With a rate above 0 the targets then follow.
  void descend(const Loss (&loss)[2], const kernels::AdamConstants& adam, uint64_t step, double rate = 0);
  // target = (1 - rate) target + rate online
  void follow(double rate);

  const kernels::MlpShape& trunk() const { return trunk_; }
  Tensor atoms() const { return atoms_.size() ? atoms_.tensor() : Tensor(); }   // z [1, atoms], or absent
  Chosen chosen() const { return chosen_; }

 private:
  Loss loss_of(int critic, Tensor state, Tensor action, auto&& error) const;

  kernels::MlpShape trunk_;
  Buffer atoms_;
  Chosen chosen_;
};

}  // namespace meander
