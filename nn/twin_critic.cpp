#include <meander/nn/twin_critic.h>

namespace meander {

TwinCritic::TwinCritic(int64_t observations, int64_t actions, const Hidden& hidden, uint64_t seed)
    : online{Trained(0), Trained(0)}, target{Trained(0), Trained(0)},
      trunk_(add_mlp(layout, observations + actions, hidden, 1)) {
  const Purpose purpose[] = {Purpose::initialise_critic1, Purpose::initialise_critic2};
  for (int i : {0, 1}) {
    online[i] = Trained(layout.size()), target[i] = Trained(layout.size());
    layout.initialise(online[i].params, Stream(seed, purpose[i], 0));
    target[i].params.copy_from(online[i].params);
  }
}

Value TwinCritic::value(Value params, Value state, Value action, const kernels::MlpProducts& products) const {
  if (state.rows() == action.rows() && !products.prepared) return mlp(trunk_, params, concat_columns(state, action));
  return mlp_shared(trunk_, params, action, state, false, products);
}

std::pair<Value, Value> TwinCritic::value_and_gradient(Value params, Value state, Value action) const {
  return mlp_shared_gradient(trunk_, params, action, state, false);
}

std::array<Tensor, 2> TwinCritic::online_values(Tensor state, Tensor action) {
  const auto q = [&](int i) {
    return reshape(value(online[i].tensor(), state, action, ready_[i].of(trunk_, online[i].params)), state.rows,
                   action.rows / state.rows).tensor;
  };
  return {q(0), q(1)};
}

std::array<Tensor, 2> TwinCritic::target_values(Tensor state, Tensor action) const {
  const auto q = [&](int i) {
    return reshape(value(target[i].tensor(), state, action), state.rows, action.rows / state.rows).tensor;
  };
  return {q(0), q(1)};
}

TwinCritic::Loss TwinCritic::loss(int critic, Tensor state, Tensor action, Tensor y, Tensor weight,
                                  double scale) const {
  const auto [out, gradient] = value_and_grad(
      [&](Value params) {
        const Value error = square(value(params, state, action) - y);
        return Values<1>{scale * mean_column(weight ? error * weight : error)};
      },
      online[critic].tensor());
  return {out[0].tensor, gradient.tensor};
}

void TwinCritic::descend(const Loss (&loss)[2], const kernels::AdamConstants& adam, uint64_t step, double rate) {
  meander::descend({{online[0], loss[0].gradient, rate > 0 ? &target[0] : nullptr},
                    {online[1], loss[1].gradient, rate > 0 ? &target[1] : nullptr}},
                   adam, static_cast<int64_t>(step), rate);
  outdate();
}

void TwinCritic::follow(double rate) {
  for (int i : {0, 1}) target[i].follow(online[i], rate);
}

void TwinCritic::outdate() {
  for (ReadyWeights& ready : ready_) ready.outdate();
}

}  // namespace meander
