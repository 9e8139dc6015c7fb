#include <meander/nn/critic.h>

namespace meander {

Critic::Critic(int64_t observations, int64_t actions, const Hidden& hidden, int64_t atoms, double v_min, double v_max)
    : trunk_(add_mlp(layout, observations + actions, hidden, atoms)), atoms_(atoms) {
  std::vector<float> z(static_cast<size_t>(atoms));
  for (int64_t j = 0; j < atoms; ++j)
    z[static_cast<size_t>(j)] = static_cast<float>(v_min + (v_max - v_min) * double(j) / double(atoms - 1));
  atoms_.set(z.data());
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
