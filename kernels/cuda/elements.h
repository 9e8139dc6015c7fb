#pragma once

#include <meander/kernels/cuda/kernels.h>

// What kernels over all elements of arrays share: how threads go through them.
namespace meander::kernels::MEANDER_CUDA {

// Threads of a block, and elements a thread takes at once where the addresses allow it.
constexpr int element_block = 256;

__device__ inline int64_t this_thread() { return int64_t{blockIdx.x} * blockDim.x + threadIdx.x; }
__device__ inline int64_t all_threads() { return int64_t{gridDim.x} * blockDim.x; }

// f(i) for i < n, spread over all threads; neighbours go to neighbours.
template <class F>
__device__ inline void for_elements(int64_t n, F f) {
  for (int64_t i = this_thread(); i < n; i += all_threads()) f(i);
}
// a / b, in 32 bits where that is enough: a division in 64 takes a hundred instructions.
__device__ inline int64_t divide(int64_t a, int64_t b) {
  if ((a | b) >> 32 == 0) return static_cast<uint32_t>(a) / static_cast<uint32_t>(b);
  return a / b;
}
// f(i, j) for the elements of a matrix.
template <class F>
__device__ inline void for_matrix(int64_t rows, int64_t cols, F f) {
  for_elements(rows * cols, [&](int64_t e) {
    const int64_t i = divide(e, cols);
    f(i, e - i * cols);
  });
}

template <class T>
__device__ inline bool aligned(const T* p) {
  return reinterpret_cast<uintptr_t>(p) % 16 == 0;
}
__device__ inline float4 load4(const float* p, int64_t q) { return reinterpret_cast<const float4*>(p)[q]; }
__device__ inline void store4(float* p, int64_t q, float4 v) { reinterpret_cast<float4*>(p)[q] = v; }

// An operand of an element-wise function: an array, or one number for all elements.
struct Each {
  const float* p;
  __device__ bool wide() const { return aligned(p); }
  __device__ float one(int64_t i) const { return p[i]; }
  __device__ float4 four(int64_t q) const { return load4(p, q); }
};
struct Same {
  const float* p;
  __device__ bool wide() const { return true; }
  __device__ float one(int64_t) const { return *p; }
  __device__ float4 four(int64_t) const { return make_float4(*p, *p, *p, *p); }
};

template <class F>
__device__ inline float4 apply4(const F& f, float4 a) {
  return make_float4(f(a.x), f(a.y), f(a.z), f(a.w));
}
template <class F>
__device__ inline float4 apply4(const F& f, float4 a, float4 b) {
  return make_float4(f(a.x, b.x), f(a.y, b.y), f(a.z, b.z), f(a.w, b.w));
}
template <class F>
__device__ inline float4 apply4(const F& f, float4 a, float4 b, float4 c) {
  return make_float4(f(a.x, b.x, c.x), f(a.y, b.y, c.y), f(a.z, b.z, c.z), f(a.w, b.w, c.w));
}

template <class F, class... Operands>
__global__ void map_kernel(int64_t n, F f, float* y, Operands... x) {
  const bool wide = aligned(y) && (x.wide() && ...);
  const int64_t fours = wide ? n / 4 : 0;
  for_elements(fours, [&](int64_t q) { store4(y, q, apply4(f, x.four(q)...)); });
  for_elements(n - 4 * fours, [&](int64_t i) { y[4 * fours + i] = f(x.one(4 * fours + i)...); });
}
// y[i] = f(x[i] ...); y may be one of the x.
template <class F, class... Operands>
void map(int64_t n, F f, float* y, Operands... x) {
  if (n > 0)
    launch(map_kernel<F, Operands...>, blocks_for((n + 3) / 4, element_block), element_block, 0, n, f, y, x...);
}

}  // namespace meander::kernels::MEANDER_CUDA
