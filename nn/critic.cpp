#include "nn/critic.h"

namespace meander {

Critic::Critic(int64_t observations, int64_t actions, const Hidden& hidden, int64_t atoms, double v_min, double v_max)
    : trunk_(add_mlp(layout, observations + actions, hidden, atoms)), atoms_(atoms) {
  for (int64_t j = 0; j < atoms; ++j)
    atoms_.data()[j] = static_cast<float>(v_min + (v_max - v_min) * double(j) / double(atoms - 1));
}

Value Critic::logits(Value params, Value state, Value action, const kernels::MlpProducts& products) const {
  if (state.rows() == action.rows() && products.precision == kernels::Precision::float32)
    return mlp(trunk_, params, concat_columns(state, action));
  return mlp_shared(trunk_, params, action, state, false, products);
}

Value Critic::value(Value params, Value state, Value action, const kernels::MlpProducts& products) const {
  return softmax_expectation(logits(params, state, action, products), atoms());
}

}  // namespace meander
