#pragma once

#include <cmath>
#include <cstdint>

// The activations of networks and embeddings. One more is: a line in each of the lists here, its value and slope in
// kernels/formulas/activations.h, and its second derivative in core/pointwise.cpp.
namespace meander::kernels {

enum class Activation { relu, gelu, mish, tanh, silu };   // GELU is the tanh form
constexpr Activation activations[] = {Activation::relu, Activation::gelu, Activation::mish, Activation::tanh,
                                      Activation::silu};
constexpr const char* activation_name(Activation which) {
  switch (which) {
    case Activation::relu: return "relu";
    case Activation::gelu: return "gelu";
    case Activation::mish: return "mish";
    case Activation::tanh: return "tanh";
    case Activation::silu: return "silu";
  }
  return "";
}

// y = f(x) and y = f'(x) over arrays, float32. What kernels/elementwise.h promises holds for them too, bounds included:
//   relu  max(x, 0), slope 0 at 0          exact
//   gelu  0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), from -10 down as at -10
//                                          2.9 ulp (2.825); 14 (13.2) below -1; 220 (211) below -3
//         slope                            5.2 ulp of max(|y|, 1/8) (5.029); 220 ulp (205) below -3
//   mish  x tanh(log(1 + exp x)), 0 where exp x is
//                                          4.8 ulp (4.652)
//         slope                            6.5 ulp of max(|y|, 1/8) (6.260); 8.5 ulp (8.262) below -3
//   tanh                                   1.4 ulp (1.332)
//         slope                            1 ulp of 1 (0.973)
//   silu  x sigmoid(x), 0 where exp x is   3.7 ulp (3.647)
//         slope                            3.5 ulp of max(|y|, 1/8) (3.424); 5.9 ulp (5.853) below -3
void activation(Activation, int64_t n, const float* x, float* y);
void activation_slope(Activation, int64_t n, const float* x, float* y);

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
