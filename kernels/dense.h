#pragma once

#include <cstdint>

// Matrix products, float32, row-major without gaps. Every output element is one chain of fma over k = 0, 1, 2, ...
// in order, started from the bias, from c (accumulate) or from 0: the same bits on every path and any threads.
namespace meander::kernels {

// Floats of scratch the products below need, at most.
int64_t product_workspace(int64_t m, int64_t n, int64_t k);

// y [rows, out] = x [rows, in] W [in, out] + bias [out] (null: none)
void dense(int64_t rows, int64_t in, int64_t out, const float* x, const float* weight, const float* bias, float* y,
           float* workspace);
// c [m, n] (+)= a [m, k] b^T, b [n, k]
void product_nt(int64_t m, int64_t n, int64_t k, const float* a, const float* b, float* c, bool accumulate,
                float* workspace);
// c [m, n] (+)= a^T b, a [k, m], b [k, n]
void product_tn(int64_t m, int64_t n, int64_t k, const float* a, const float* b, float* c, bool accumulate,
                float* workspace);

// The readable forms, for float and double: tests hold the fast ones against these.
template <class T>
void dense_reference(int64_t rows, int64_t in, int64_t out, const T* x, const T* weight, const T* bias, T* y);
template <class T>
void product_nt_reference(int64_t m, int64_t n, int64_t k, const T* a, const T* b, T* c, bool accumulate);
template <class T>
void product_tn_reference(int64_t m, int64_t n, int64_t k, const T* a, const T* b, T* c, bool accumulate);

}  // namespace meander::kernels
