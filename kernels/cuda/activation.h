#pragma once

#include <meander/kernels/cuda/formulas.h>
#include <meander/kernels/mlp.h>

// The activations of kernels/mlp.h and their slopes: kernels/formulas by the name a network has for them.
namespace meander::kernels::MEANDER_CUDA {

template <Activation activation>
__device__ inline float activate(float x) {
  if constexpr (activation == Activation::relu) return relu(x);
  else if constexpr (activation == Activation::gelu) return gelu(x);
  else if constexpr (activation == Activation::mish) return mish(x);
  else return tanh(x);
}

// The slope at x; value = activate(x).
template <Activation activation>
__device__ inline float activation_slope(float x, float& value) {
  if constexpr (activation == Activation::relu) return relu_slope(x, value);
  else if constexpr (activation == Activation::gelu) return gelu_slope(x, value);
  else if constexpr (activation == Activation::mish) return mish_slope(x, value);
  else return tanh_slope(x, value);
}

// f.operator()<activation>() as it stands in a network: one branch a row, not one a number.
template <class F>
__device__ inline void with_activation(Activation activation, F&& f) {
  switch (activation) {
    case Activation::relu: return f.template operator()<Activation::relu>();
    case Activation::gelu: return f.template operator()<Activation::gelu>();
    case Activation::mish: return f.template operator()<Activation::mish>();
    case Activation::tanh: return f.template operator()<Activation::tanh>();
  }
}

}  // namespace meander::kernels::MEANDER_CUDA
