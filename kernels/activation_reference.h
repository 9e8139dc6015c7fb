#pragma once

#include <cmath>

#include <meander/kernels/activation.h>

namespace meander::kernels {

// The same by the C library, one number at a time: composites in double, and what tests hold the rest against.
template <class T>
struct ValueAndSlope {
  T value, slope;
};
template <class T>
ValueAndSlope<T> activation_reference(Activation which, T x) {
  switch (which) {
    case Activation::relu: return {x > 0 ? x : T{0}, x > 0 ? T{1} : T{0}};
    case Activation::gelu: {
      const T c = static_cast<T>(0.79788456080286536), cubic = static_cast<T>(0.044715);   // sqrt(2 / pi)
      const T t = std::tanh(c * (x + cubic * x * x * x));
      return {x * (1 + t) / 2, (1 + t) / 2 + x * (1 - t * t) / 2 * c * (1 + 3 * cubic * x * x)};
    }
    case Activation::mish: {
      const T t = std::tanh(x > 30 ? x : std::log1p(std::exp(x)));
      return {x * t, t + x * (1 - t * t) / (1 + std::exp(-x))};
    }
    case Activation::tanh: {
      const T t = std::tanh(x);
      return {t, 1 - t * t};
    }
    case Activation::silu: {
      const T s = 1 / (1 + std::exp(-x));
      return {x * s, s * (1 + x * (1 - s))};
    }
  }
  return {};
}

}  // namespace meander::kernels
