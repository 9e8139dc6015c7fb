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

Value FlowNetwork::operator()(Value params, Value state, Value x, Value t, Value h) const {
  const Value condition = concat_columns(state, embed_t_(params, t) + embed_h_(params, h));
  if (state.rows() == x.rows()) return mlp(trunk_, params, concat_columns(x, condition));
  return mlp_shared(trunk_, params, x, condition, true);
}

FlowNetwork::Projected FlowNetwork::project(Value params, Value state, Value t, Value h) const {
  const int64_t width = trunk_.width[1], from_state = trunk_.weight[0] + actions_ * width,
                from_time = from_state + observations_ * width;
  const Value time = embed_t_(params, t) + embed_h_(params, h);
  return {dense(state, parameter(params, from_state, observations_, width),
                parameter(params, trunk_.bias[0], 1, width)),
          product(time, parameter(params, from_time, TimeEmbedding::width, width))};
}

Value FlowNetwork::at_projected(Value params, const Projected& projected, int64_t i, Value x,
                                kernels::Precision precision) const {
  return mlp_projected(trunk_, params, x, 0, projected.state + slice_rows(projected.time, i, 1), precision);
}

}  // namespace meander
