#pragma once

#include "nn/mlp.h"

namespace meander {

// Learnable Fourier features of a time, then a small network: f = 2 pi t w, [cos f, sin f], Dense, GELU, Dense.
struct TimeEmbedding {
  static constexpr int64_t frequencies = 64, width = 64;
  TimeEmbedding(ParameterLayout& layout, const std::string& name);
  Value operator()(Value params, Value time) const;   // [n, 1] -> [n, width]

 private:
  int64_t frequency_, kernel0_, bias0_, kernel1_, bias1_;
};

// A function of state, position, time and interval length h, on [x, state, embedding(t) + embedding(h)]: the mean
// velocity u(s, x, t, h) (A outputs) and the average divergence delta(s, x, t, h) (1 output) of MFPO.
struct FlowNetwork {
  ParameterLayout layout;

  FlowNetwork(int64_t observations, int64_t actions, int64_t outputs, int64_t hidden_width, int64_t hidden_layers);

  // state [B, S], x [B K, A]: K positions a state; t, h [B, 1], or [1, 1] for all. -> [B K, outputs]
  Value operator()(Value params, Value state, Value x, Value t, Value h) const;
  // (the value [B, outputs], its derivatives [B K, outputs] along K directions dx [B K, A] of x); x [B, A].
  std::pair<Value, Value> directions(Value params, Value state, Value x, Value t, Value h, Value dx) const;

  // The same in parts, for several calls at the same states or times: what the state (with the bias) and what the times
  // contribute to the sums of the first layer, each computed once. t [T, 1]; h [1, 1] for all of them.
  Value share_of_state(Value params, Value state) const;            // [B, width]
  Value share_of_times(Value params, Value t, Value h) const;       // [T, width]
  // share: the two added, [B, width]. Other products than the default's only where no derivative is wanted.
  Value from_share(Value params, Value share, Value x, const kernels::MlpProducts& = {}) const;

  const kernels::MlpShape& trunk() const { return trunk_; }

 private:
  Value condition(Value params, Value state, Value t, Value h) const;   // what follows x among the inputs

  int64_t observations_, actions_;
  TimeEmbedding embed_t_, embed_h_;
  kernels::MlpShape trunk_;
};

}  // namespace meander
