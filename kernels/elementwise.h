#pragma once

#include <cstdint>

// Functions of one variable over arrays, float32. In place (y == x) is allowed. NaN in, NaN out; infinities as in
// libm. Our own polynomial forms, the same bits on every instruction set and any number of threads.
//
// The bounds are in units of the last place of the result and hold for every float: all 2^32 were compared with libm in
// double, the largest error stands in brackets. In the far tails the rounding of the exponent shows.
namespace meander::kernels {

void exp(int64_t n, const float* x, float* y);   // 1.1 ulp (1.015); 0 below the normal range, inf above the range
void log(int64_t n, const float* x, float* y);   // 0.9 ulp (0.827); -inf at 0, NaN below; subnormals are handled
void tanh(int64_t n, const float* x, float* y);  // 1.4 ulp (1.332)
void sincos(int64_t n, const float* x, float* sine, float* cosine);  // 1.9 ulp (1.807), |x| <= 1e6; beyond: none kept
void sigmoid(int64_t n, const float* x, float* y);  // 1 / (1 + exp -x): 2.6 ulp (2.481); 0 from -88.7228394 down

// GELU, tanh form: 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), and its first derivative. From -10 down as at -10.
void gelu(int64_t n, const float* x, float* y);        // 2.9 ulp (2.825); 14 (13.2) below -1; 220 (211) below -3
void gelu_slope(int64_t n, const float* x, float* y);  // 5.2 ulp of max(|y|, 1/8) (5.029); 220 ulp (205) below -3
// Mish: x tanh(log(1 + exp x)), and its first derivative. 0 where exp x is.
void mish(int64_t n, const float* x, float* y);        // 4.8 ulp (4.652)
void mish_slope(int64_t n, const float* x, float* y);  // 6.5 ulp of max(|y|, 1/8) (6.260); 8.5 ulp (8.262) below -3

}  // namespace meander::kernels
