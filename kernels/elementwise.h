#pragma once

#include <cstdint>

// Functions of one variable over arrays, float32. In place (y == x) is allowed. NaN in, NaN out; infinities as in
// libm. Our own polynomial forms, the same bits on every instruction set and any number of threads; the error bound
// in ulp stands beside each and is tested over the whole float range.
namespace meander::kernels {

void exp(int64_t n, const float* x, float* y);   // 0 below the normal range, inf above the range
void log(int64_t n, const float* x, float* y);   // -inf at 0, NaN below; subnormals are handled
void tanh(int64_t n, const float* x, float* y);
void sincos(int64_t n, const float* x, float* sine, float* cosine);  // |x| <= 1e4, else libm's accuracy is not kept

// GELU, tanh form: 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), and its first derivative.
void gelu(int64_t n, const float* x, float* y);
void gelu_slope(int64_t n, const float* x, float* y);
// Mish: x tanh(log(1 + exp x)), and its first derivative.
void mish(int64_t n, const float* x, float* y);
void mish_slope(int64_t n, const float* x, float* y);
void sigmoid(int64_t n, const float* x, float* y);  // 1 / (1 + exp -x)

}  // namespace meander::kernels
