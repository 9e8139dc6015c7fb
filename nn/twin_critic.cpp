#include <meander/nn/twin_critic.h>

namespace meander {

TwinCritic::TwinCritic(int64_t observations, int64_t actions, const Hidden& hidden, Chosen chosen, uint64_t seed)
    : TwinCritic(observations, actions, hidden, {1, 0, 0}, chosen, seed) {}

TwinCritic::TwinCritic(int64_t observations, int64_t actions, const Hidden& hidden, const Atoms& atoms, Chosen chosen,
                       uint64_t seed)
    : online{TrainState(0), TrainState(0)}, target{TrainState(0), TrainState(0)},
      trunk_(add_mlp(layout, observations + actions, hidden, atoms.count)), chosen_(chosen) {
  const Purpose purpose[] = {Purpose::initialise_critic1, Purpose::initialise_critic2};
  for (int i : {0, 1}) {
    online[i] = TrainState(layout.size()), target[i] = TrainState(layout.size());
    layout.initialise(online[i].params, Stream(seed, purpose[i], 0));
    target[i].params.copy_from(online[i].params);
  }
  if (atoms.count == 1) return;
  std::vector<float> z;
  for (int64_t j = 0; j < atoms.count; ++j)
    z.push_back(static_cast<float>(atoms.v_min + (atoms.v_max - atoms.v_min) * double(j) / double(atoms.count - 1)));
  atoms_ = Buffer(z);
}

// ---- values ---------------------------------------------------------------------------------------------------------
Value TwinCritic::outputs(Value params, Value state, Value action, const kernels::MlpProducts& products) const {
  if (state.rows() == action.rows() && !products.prepared && products.precision == kernels::Precision::float32)
    return mlp(trunk_, params, concat_columns(state, action));
  return mlp_shared(trunk_, params, action, state, false, products);
}

Value TwinCritic::value(Value params, Value state, Value action, const kernels::MlpProducts& products) const {
  const Value out = outputs(params, state, action, products);
  return atoms_.size() ? softmax_expectation(out, atoms()) : out;
}

std::pair<Value, Value> TwinCritic::value_and_gradient(Value params, Value state, Value action) const {
  return mlp_shared_gradient(trunk_, params, action, state, false);
}

TwinCritic::Smaller TwinCritic::smaller_and_gradient(Tensor state, Tensor action) const {
  const auto [q1, gradient1] = value_and_gradient(online[0].tensor(), state, action);
  const auto [q2, gradient2] = value_and_gradient(online[1].tensor(), state, action);
  const Value first = less(q1, q2);
  return {q1.detached, q2.detached, select(first, q1, q2).detached, select(first, gradient1, gradient2).detached};
}

Value TwinCritic::choose(Value q1, Value q2) const {
  return chosen_ == Chosen::smaller ? minimum(q1, q2) : 0.5 * (q1 + q2);
}

TwinCritic::Estimates TwinCritic::values(const TrainState (&critics)[2], Tensor state, Tensor action,
                                      kernels::Precision precision) const {
  const auto q = [&](int i) {
    return reshape(value(critics[i].tensor(), state, action, precision), state.rows, action.rows / state.rows).detached;
  };
  const Tensor q1 = q(0), q2 = q(1);
  return {{q1, q2}, choose(q1, q2).detached};
}

// ---- learning -------------------------------------------------------------------------------------------------------
// error(outputs) -> [1, 1]
TwinCritic::Loss TwinCritic::loss_of(int critic, Tensor state, Tensor action, auto&& error) const {
  const auto [out, gradient] = value_and_grad(
      [&](Value params) {
        const Value y = outputs(params, state, action);
        return Values<2>{error(y), y};
      },
      online[critic].tensor());
  return {out[0].detached, gradient.detached, out[1].detached};
}

TwinCritic::Loss TwinCritic::loss(int critic, Tensor state, Tensor action, Tensor y, Tensor weight,
                                  double scale) const {
  return loss_of(critic, state, action, [&](Value q) {
    const Value error = square(q - y);
    return scale * mean_column(weight ? error * weight : error);
  });
}

TwinCritic::Loss TwinCritic::cross_entropy(int critic, Tensor state, Tensor action, Tensor distribution) const {
  return loss_of(critic, state, action, [&](Value logits) { return meander::cross_entropy(distribution, logits); });
}

void TwinCritic::descend(const Loss (&loss)[2], const kernels::AdamConstants& adam, uint64_t step, double rate) {
  meander::descend({{online[0], loss[0].gradient, rate > 0 ? &target[0] : nullptr},
                    {online[1], loss[1].gradient, rate > 0 ? &target[1] : nullptr}},
                   adam, static_cast<int64_t>(step), rate);
}

void TwinCritic::follow(double rate) {
  for (int i : {0, 1}) target[i].follow(online[i], rate);
}

}  // namespace meander
