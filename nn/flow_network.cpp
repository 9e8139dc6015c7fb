#include "nn/flow_network.h"

namespace meander {

TimeEmbedding::TimeEmbedding(ParameterLayout& layout, const std::string& name)
    : frequency_(layout.add(name + "/freq", {frequencies, 1}, Initial::frequency)),
      kernel0_(layout.add(name + "/dense_0/kernel", {2 * frequencies, width}, Initial::xavier_uniform)),
      bias0_(layout.add(name + "/dense_0/bias", {width}, Initial::zero)),
      kernel1_(layout.add(name + "/dense_1/kernel", {width, width}, Initial::xavier_uniform)),
      bias1_(layout.add(name + "/dense_1/bias", {width}, Initial::zero)) {}

Value TimeEmbedding::operator()(Value params, Value time) const {
  const Value features = fourier_features(time, parameter(params, frequency_, 1, frequencies));
  const Value hidden = gelu(dense(features, parameter(params, kernel0_, 2 * frequencies, width),
                                  parameter(params, bias0_, 1, width)));
  return dense(hidden, parameter(params, kernel1_, width, width), parameter(params, bias1_, 1, width));
}

FlowNetwork::FlowNetwork(int64_t observations, int64_t actions, int64_t outputs, int64_t hidden_width,
                         int64_t hidden_layers)
    : observations_(observations),
      actions_(actions),
      embed_t_(layout, "emb_t"),
      embed_h_(layout, "emb_h"),
      trunk_(add_mlp(layout, actions + observations + TimeEmbedding::width, hidden_width, hidden_layers, outputs)) {}

Value FlowNetwork::condition(Value params, Value state, Value t, Value h) const {
  return concat_columns(state, embed_t_(params, t) + embed_h_(params, h));
}

Value FlowNetwork::operator()(Value params, Value state, Value x, Value t, Value h) const {
  const Value rest = condition(params, state, t, h);
  if (state.rows() == x.rows()) return mlp(trunk_, params, concat_columns(x, rest));
  return mlp_shared(trunk_, params, x, rest, true);
}

std::pair<Value, Value> FlowNetwork::directions(Value params, Value state, Value x, Value t, Value h, Value dx) const {
  return mlp_directions(trunk_, params, concat_columns(x, condition(params, state, t, h)), 0, dx);
}

Value FlowNetwork::share_of_state(Value params, Value state) const {
  const int64_t width = trunk_.width[1];
  return dense(state, parameter(params, trunk_.weight[0] + actions_ * width, observations_, width),
               parameter(params, trunk_.bias[0], 1, width));
}

Value FlowNetwork::share_of_times(Value params, Value t, Value h) const {
  const int64_t width = trunk_.width[1], first = actions_ + observations_;
  return product(embed_t_(params, t) + embed_h_(params, h),
                 parameter(params, trunk_.weight[0] + first * width, TimeEmbedding::width, width));
}

Value FlowNetwork::from_share(Value params, Value share, Value x, const kernels::MlpProducts& products) const {
  return mlp_projected(trunk_, params, x, 0, share, products);
}

}  // namespace meander
