#pragma once

#include <meander/kernels/embedding.h>
#include <meander/kernels/mlp_shape.h>
#include <meander/nn/mlp.h>

namespace meander {

// How a flow network sees its times t and r.
enum class Times {
  fourier,      // embedding(t) + embedding(t - r): 64 learnt frequencies, Dense 64, GELU, Dense 64       (MFPO)
  sinusoidal,   // embedding(t), embedding(r) side by side: 8 fixed frequencies, Dense 32, Mish, Dense 16   (SOM)
  plain,        // t and r themselves                                                                       (MVP)
  features,     // cos(f_j t), sin(f_j t), likewise of r; f_j = 10000^(-j / (n/2 - 1)), j < n/2           (flow map)
  plain_t,      // t alone: an instantaneous velocity                                                       (QC, FQL)
};

// A small network of one time: features [cos(2 pi t w), sin(2 pi t w)], Dense, activation, Dense.
class TimeEmbedding {
 public:
  TimeEmbedding() = default;                          // none
  // Learnt frequencies w, or the fixed ones w_j = 10000^(-j / frequencies) scale / (2 pi) of the transformer's positions.
  TimeEmbedding(ParameterLayout& layout, const std::string& name, int64_t frequencies, bool learnt, int64_t hidden,
                int64_t width, kernels::Activation activation);
  Value operator()(Value params, Value time) const;   // [n, 1] -> [n, width]

 private:
  static constexpr double scale = 20;                 // t in [0, 1] as the 20 steps of a diffusion policy
  kernels::EmbeddingShape shape_;
  Buffer fixed_;                                      // fixed frequencies
};

// A function of state, position and times on the inputs [x, state, times]: the mean velocity u(s, x, t, r) (A outputs)
// or the average divergence delta(s, x, t, r) (1 output). An absent r is t: the instantaneous field.
struct FlowNetwork {
  ParameterLayout layout;

  // features: n, the even number of features of one time where times are seen by them.
  FlowNetwork(int64_t observations, int64_t actions, const Hidden& hidden, int64_t outputs, Times times,
              int64_t features = 0);

  // state [B, S], x [B K, A]: K positions a state; t, r [B, 1], or [1, 1] for all. -> [B K, outputs]
  Value operator()(Value params, Value state, Value x, Value t, Value r) const;
  // (the value [B, outputs], its derivatives [B K, outputs] along K directions dx [B K, A] of x); x [B, A].
  std::pair<Value, Value> directions(Value params, Value state, Value x, Value t, Value r, Value dx) const;

  // The same in parts, for several calls at the same states or times: what the state (with the bias) and what the times
  // contribute to the sums of the first layer, each computed once. t, r [T, 1].
  Value project_state(Value params, Value state) const;            // [B, width]
  Value project_times(Value params, Value t, Value r) const;       // [T, width]
  // share: the two added, [B, width]. Other products than the default's only where no derivative is wanted.
  Value from_projection(Value params, Value share, Value x, const kernels::MlpProducts& = {}) const;

  const kernels::MlpShape& trunk() const { return trunk_; }

 private:
  Value times(Value params, Value t, Value r) const;

  int64_t observations_, actions_;
  Times kind_;
  int64_t times_width_;
  TimeEmbedding embed_t_, embed_second_;
  Buffer frequencies_;   // of features, over 2 pi
  kernels::MlpShape trunk_;
};

}  // namespace meander
