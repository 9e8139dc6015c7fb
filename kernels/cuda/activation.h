#pragma once

#include "kernels/cuda/cuda.h"
#include "kernels/mlp.h"

// The activations of kernels/mlp.h and their slopes, in the formulas of kernels/cpu/vector_math.h. A NaN stays one:
// no fmaxf, which would drop it.
namespace meander::kernels::MEANDER_CUDA {

__device__ inline float at_least(float low, float x) { return x < low ? low : x; }
__device__ inline float at_most(float high, float x) { return x > high ? high : x; }

// GELU, tanh form, is x sigmoid(2 z), z = sqrt(2/pi) (x + 0.044715 x^3). Below -10 it is as at -10: -1e-37.
constexpr float gelu_linear = 1.59576912f, gelu_cubic = 0.0713548163f;
__device__ inline float gelu_exp(float x) {
  return expf(at_least(-87.0f, x * fmaf(x * x, -gelu_cubic, -gelu_linear)));
}

template <Activation activation>
__device__ inline float activate(float x) {
  if constexpr (activation == Activation::relu) {
    return x < 0.0f ? 0.0f : x;
  } else if constexpr (activation == Activation::gelu) {
    const float inside = at_least(-10.0f, x);
    return inside * (1.0f / (1.0f + gelu_exp(inside)));
  } else if constexpr (activation == Activation::mish) {
    // With w = exp x, tanh(log(1 + w)) = n / (n + 2), n = w (w + 2).
    const float w = expf(at_most(20.0f, x)), n = w * (w + 2.0f);
    return x > 20.0f ? x : at_least(-104.0f, x) * (n / (n + 2.0f));
  } else {
    return tanhf(x);
  }
}

// The slope at x; value = activate(x).
template <Activation activation>
__device__ inline float activation_slope(float x, float& value) {
  if constexpr (activation == Activation::relu) {
    value = x < 0.0f ? 0.0f : x;
    return x > 0.0f ? 1.0f : 0.0f;
  } else if constexpr (activation == Activation::gelu) {
    const float from_below = at_least(-10.0f, x), inside = at_most(10.0f, from_below);
    const float e = gelu_exp(inside), s = 1.0f / (1.0f + e);
    const float dz = fmaf(inside * inside, 3.0f * gelu_cubic, gelu_linear);
    value = from_below * s;
    return fmaf(inside * s * (e * s), dz, s);
  } else if constexpr (activation == Activation::mish) {
    const float inside = at_least(-104.0f, at_most(20.0f, x));
    const float w = expf(inside), n = w * (w + 2.0f), d = n + 2.0f;
    value = x > 20.0f ? x : inside * (n / d);
    return n / d + 4.0f * inside * w * (w + 1.0f) / (d * d);
  } else {
    value = tanhf(x);
    return fmaf(-value, value, 1.0f);
  }
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
