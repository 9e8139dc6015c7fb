#pragma once

#include <cstdint>

// Functions of one variable over arrays, float32 (activations: kernels/activation.h). In place (y == x) is allowed. NaN
// in, NaN out; infinities as in libm. Our own polynomial forms, the same bits on every instruction set and any number
// of threads.
//
// The bounds are in units of the last place of the result and hold for every float: all 2^32 were compared with libm in
// double, the largest error stands in brackets. In the far tails the rounding of the exponent shows.
namespace meander::kernels {

void exp(int64_t n, const float* x, float* y);   // 1.1 ulp (1.015); 0 below the normal range, inf above the range
void log(int64_t n, const float* x, float* y);   // 0.9 ulp (0.827); -inf at 0, NaN below; subnormals are handled
void tanh(int64_t n, const float* x, float* y);  // 1.4 ulp (1.332)
void sincos(int64_t n, const float* x, float* sine, float* cosine);  // 1.9 ulp (1.807), |x| <= 1e6; beyond: none kept
void sigmoid(int64_t n, const float* x, float* y);  // 1 / (1 + exp -x): 2.6 ulp (2.481); 0 from -88.7228394 down

}  // namespace meander::kernels
