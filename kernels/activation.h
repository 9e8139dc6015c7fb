#pragma once

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

}  // namespace meander::kernels
