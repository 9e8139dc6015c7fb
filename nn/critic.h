#pragma once

#include <meander/nn/mlp.h>

namespace meander {

// A distributional critic (C51): logits over the atoms z_j = linspace(v_min, v_max) of the return from (state, action).
struct Critic {
  ParameterLayout layout;

  Critic(int64_t observations, int64_t actions, const Hidden& hidden, int64_t atoms, double v_min, double v_max);

  // state [B, S], action [B K, A]: K actions a state. -> [B K, atoms]
  // Other products than the default's only where no derivative is wanted.
  Value logits(Value params, Value state, Value action,
               const kernels::MlpProducts& = {}) const;
  // Q = sum_j softmax(logits)_j z_j, [B K, 1]
  Value value(Value params, Value state, Value action, const kernels::MlpProducts& = {}) const;
  Tensor atoms() const { return atoms_.tensor(); }   // [1, atoms]

  const kernels::MlpShape& trunk() const { return trunk_; }

 private:
  kernels::MlpShape trunk_;
  Buffer atoms_;
};

}  // namespace meander
