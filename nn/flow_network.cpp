#include <meander/nn/flow_network.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace meander {

using kernels::Activation;

TimeEmbedding::TimeEmbedding(ParameterLayout& layout, const std::string& name, int64_t frequencies, bool learnt,
                             int64_t hidden, int64_t width, Activation activation)
    : shape_{.frequencies = frequencies, .hidden = hidden, .width = width, .activation = activation} {
  if (learnt) {
    shape_.frequency = layout.add(name + "/freq", {frequencies, 1}, Initial::frequency);
  } else {
    std::vector<float> fixed(static_cast<size_t>(frequencies));
    for (int64_t j = 0; j < frequencies; ++j)
      fixed[static_cast<size_t>(j)] =
          static_cast<float>(scale * std::pow(1e4, -double(j) / double(frequencies)) / (2 * std::numbers::pi));
    fixed_ = Buffer(fixed);
  }
  shape_.weight0 = layout.add(name + "/dense_0/kernel", {2 * frequencies, hidden}, Initial::xavier_uniform);
  shape_.bias0 = layout.add(name + "/dense_0/bias", {hidden}, Initial::zero);
  shape_.weight1 = layout.add(name + "/dense_1/kernel", {hidden, width}, Initial::xavier_uniform);
  shape_.bias1 = layout.add(name + "/dense_1/bias", {width}, Initial::zero);
}

Value TimeEmbedding::operator()(Value params, Value time) const {
  kernels::EmbeddingShape shape = shape_;
  if (fixed_.size()) shape.fixed = fixed_.data();
  return time_embedding(shape, params, time);
}

FlowNetwork::FlowNetwork(int64_t observations, int64_t actions, const Hidden& hidden, int64_t outputs, Times times,
                         int64_t features)
    : observations_(observations), actions_(actions), kind_(times) {
  switch (times) {
    case Times::fourier:
      embed_t_ = TimeEmbedding(layout, "emb_t", 64, true, 64, 64, Activation::gelu);
      embed_second_ = TimeEmbedding(layout, "emb_h", 64, true, 64, 64, Activation::gelu);
      times_width_ = 64;
      break;
    case Times::sinusoidal:
      embed_t_ = TimeEmbedding(layout, "emb_t", 8, false, 32, 16, Activation::mish);
      embed_second_ = TimeEmbedding(layout, "emb_r", 8, false, 32, 16, Activation::mish);
      times_width_ = 32;
      break;
    case Times::plain: times_width_ = 2; break;
    case Times::features: {
      std::vector<float> frequencies;
      const double last = std::max(1.0, double(features) / 2 - 1);
      for (int64_t j = 0; j < features / 2; ++j)
        frequencies.push_back(static_cast<float>(std::pow(1e4, -double(j) / last) / (2 * std::numbers::pi)));
      frequencies_ = Buffer(frequencies);
      times_width_ = 4 * std::ssize(frequencies);
      break;
    }
    case Times::plain_t: times_width_ = 1; break;
  }
  trunk_ = add_mlp(layout, actions + observations + times_width_, hidden, outputs);
}

Value FlowNetwork::times(Value params, Value t, Value r) const {
  switch (kind_) {
    case Times::fourier: return embed_t_(params, t) + embed_second_(params, r ? t - r : Value(zeros(1, 1, t.dtype())));
    case Times::sinusoidal: return concat_columns(embed_t_(params, t), embed_second_(params, r ? r : t));
    case Times::plain: return concat_columns(t, r ? r : t);
    case Times::features: {
      // Tests differentiate in double.
      const Value w = t.dtype() == DType::float64 ? cast(frequencies_.tensor(), DType::float64) : frequencies_.tensor();
      return concat_columns(fourier_features(t, w), fourier_features(r ? r : t, w));
    }
    case Times::plain_t: return t;
  }
  throw Error("unknown kind of times");
}

Value FlowNetwork::operator()(Value params, Value state, Value x, Value t, Value r) const {
  if (state.rows() == x.rows()) return mlp(trunk_, params, concat_columns(x, state, times(params, t, r)));
  return mlp_shared(trunk_, params, x, concat_columns(state, times(params, t, r)), true);
}

std::pair<Value, Value> FlowNetwork::directions(Value params, Value state, Value x, Value t, Value r, Value dx) const {
  return mlp_directions(trunk_, params, concat_columns(x, state, times(params, t, r)), 0, dx);
}

Value FlowNetwork::project_state(Value params, Value state) const {
  const int64_t width = trunk_.width[1];
  return dense(state, parameter(params, trunk_.weight[0] + actions_ * width, observations_, width),
               parameter(params, trunk_.bias[0], 1, width));
}

Value FlowNetwork::project_times(Value params, Value t, Value r) const {
  const int64_t width = trunk_.width[1], first = actions_ + observations_;
  return product(times(params, t, r), parameter(params, trunk_.weight[0] + first * width, times_width_, width));
}

Value FlowNetwork::from_projection(Value params, Value share, Value x, const kernels::MlpProducts& products) const {
  return mlp_projected(trunk_, params, x, 0, share, products);
}

}  // namespace meander
