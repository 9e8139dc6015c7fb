#pragma once

#include <cstdint>

// Functions of one variable over arrays, float32. In place (y == x) is allowed. NaN in, NaN out; infinities as in
// libm. Our own polynomial forms, the same bits on every instruction set and any number of threads; the error bound
// in ulp stands beside each and is tested over the whole float range.
namespace meander::kernels {

void exp(int64_t n, const float* x, float* y);   // 1.1 ulp; 0 below the normal range, inf above the range
void log(int64_t n, const float* x, float* y);   // 1.1 ulp; -inf at 0, NaN below; subnormals are handled
void tanh(int64_t n, const float* x, float* y);  // 1.6 ulp
void sincos(int64_t n, const float* x, float* sine, float* cosine);  // 2 ulp for |x| <= 1e4, none kept beyond

// The rest to 5e-7 max(1, |y|) absolute: far in the tails, where they are tiny, the relative error grows.
// GELU, tanh form: 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), and its first derivative. Below -10 as at -10.
void gelu(int64_t n, const float* x, float* y);
void gelu_slope(int64_t n, const float* x, float* y);
// Mish: x tanh(log(1 + exp x)), and its first derivative.
void mish(int64_t n, const float* x, float* y);
void mish_slope(int64_t n, const float* x, float* y);
void sigmoid(int64_t n, const float* x, float* y);  // 1 / (1 + exp -x), 3 ulp above -80

}  // namespace meander::kernels
