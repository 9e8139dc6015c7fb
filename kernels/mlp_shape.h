#pragma once

#include <cstdint>

#include <meander/kernels/activation.h>

// What a multi-layer perceptron is, for those who describe one and don't run it: kernels/mlp.h has the functions.
namespace meander::kernels {

enum class Norm { none, before_activation, after_activation };  // where LayerNorm (scale and shift) stands
constexpr float layer_norm_eps = 1e-6f;   // where nothing else is said

// Sizes, and where each parameter lies in the network's flat buffer (offsets in floats).
struct MlpShape {
  static constexpr int max_layers = 8;
  int layers = 0;                       // Dense layers, the linear last one included
  int64_t width[max_layers + 1] = {};   // width[0] inputs, ..., width[layers] outputs
  Activation activation = Activation::gelu;
  Norm norm = Norm::before_activation;
  float norm_eps = layer_norm_eps;      // LayerNorm divides by sqrt(variance + norm_eps)
  int64_t weight[max_layers] = {};      // [width[l], width[l + 1]]
  int64_t bias[max_layers] = {};        // [width[l + 1]]
  int64_t scale[max_layers] = {};       // [width[l + 1]], hidden layers with a norm
  int64_t shift[max_layers] = {};
  bool operator==(const MlpShape&) const = default;
};

// What the products of a forward pass take in: float32, or (in all layers but the first) both factors rounded to
// bfloat16, or to tf32 (10 bits of mantissa) on a device that multiplies those, else float32. The sums stay float32,
// and so do networks with hidden layers wider than 512.
enum class Precision { float32, tf32, bfloat16 };

// How a forward pass does its products. prepared: null, or what mlp_prepare made of the same parameters in the same
// precision: the pass then finds its weights ready, which counts where rows are few.
struct MlpProducts {
  Precision precision = Precision::float32;
  const float* prepared = nullptr;
  MlpProducts(Precision p = Precision::float32, const float* ready = nullptr) : precision(p), prepared(ready) {}
};

}  // namespace meander::kernels
