#pragma once

#include <meander/kernels/cuda/elements.h>
#include <meander/kernels/cuda/formulas.h>

// A row of a matrix by 16 threads: they are the 16 lanes in which the CPU sums it, with the same tree over them. Hence
// the same bits.
namespace meander::kernels::MEANDER_CUDA {

constexpr int lanes = 16, row_block = 64;
constexpr uint32_t whole_warp = 0xffffffffu;

// The part of a row that a thread sees: its lane takes columns lane, 16 + lane, ...
struct Row {
  int64_t index, cols;
  int lane;
  bool writes;             // the row's one number
};
template <class F>
__device__ inline void for_rows(int64_t rows, int64_t cols, F f) {
  const int64_t step = all_threads() / lanes;
  for (int64_t first = this_thread() / 32 * 2; first < rows; first += step) {   // the two rows of a warp together
    const int64_t i = first + threadIdx.x % 32 / lanes;
    const int lane = static_cast<int>(threadIdx.x % lanes);
    f(Row{i, i < rows ? cols : 0, lane, i < rows && lane == 0});   // a row that is not there takes part in the sums
  }
}
template <class F>
__device__ inline void for_lane(const Row& row, F f) {
#pragma unroll 4
  for (int64_t j = row.lane; j < row.cols; j += lanes) f(j);
}

// Lane j with j + 8, then + 4, + 2, + 1; all receive the result.
__device__ inline float sum(float v) {
  for (int half = lanes / 2; half >= 1; half /= 2) v += __shfl_xor_sync(whole_warp, v, half, lanes);
  return v;
}
// The sum over the row of f(column).
template <class F>
__device__ inline float row_sum_of(const Row& row, F f) {
  float s = 0;
  for_lane(row, [&](int64_t j) { s += f(j); });
  return sum(s);
}
__device__ inline float row_sum(const Row& row, const float* x) {
  return row_sum_of(row, [&](int64_t j) { return x[j]; });
}
__device__ inline float row_max(const Row& row, const float* x) {
  float m = -INFINITY;
  for_lane(row, [&](int64_t j) { m = maximum(x[j], m); });
  for (int half = lanes / 2; half >= 1; half /= 2) {
    const float other = __shfl_xor_sync(whole_warp, m, half, lanes);
    m = row.lane & half ? maximum(other, m) : maximum(m, other);   // which zero wins depends on the order
  }
  return m;
}
__device__ inline float row_exp_sum(const Row& row, const float* x, float largest) {
  float s = 0;
  for_lane(row, [&](int64_t j) { s += exp(x[j] - largest); });
  return sum(s);
}

// Launches a kernel that uses for_rows.
template <class... Parameters, class... Arguments>
void launch_rows(void (*kernel)(int64_t, int64_t, Parameters...), int64_t rows, int64_t cols,
                 const Arguments&... arguments) {
  if (rows > 0) launch(kernel, blocks_for(rows * lanes, row_block), row_block, 0, rows, cols, arguments...);
}

// The same sum over few columns by one thread, which has all lanes.
template <class F>
__device__ inline float sum_in_lanes(int64_t cols, F f) {
  float s[lanes];
#pragma unroll
  for (int j = 0; j < lanes; ++j) s[j] = 0.0f;
  for (int64_t first = 0; first < cols; first += lanes)
#pragma unroll
    for (int j = 0; j < lanes; ++j)
      if (first + j < cols) s[j] += f(first + j);
#pragma unroll
  for (int half = lanes / 2; half >= 1; half /= 2)
#pragma unroll
    for (int j = 0; j < half; ++j) s[j] += s[j + half];
  return s[0];
}

// ---- one number of a whole array -------------------------------------------------------------------------------------

// y = the mean of f(i), i < n, by one block: a fixed order of its own.
constexpr int mean_block = 1024;
template <class F>
__global__ void __launch_bounds__(mean_block) mean_kernel(int64_t n, F f, float* y) {
  MEANDER_SHARED(float, part, mean_block / 32);
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  float s = 0;
#pragma unroll 4
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) s += f(i);
  for (int half = 16; half >= 1; half /= 2) s += __shfl_xor_sync(whole_warp, s, half, 32);
  if (lane == 0) part[warp] = s;
  __syncthreads();
  if (warp > 0) return;
  s = lane < static_cast<int>(blockDim.x) / 32 ? part[lane] : 0.0f;
  for (int half = 16; half >= 1; half /= 2) s += __shfl_xor_sync(whole_warp, s, half, 32);
  if (lane == 0) *y = s / static_cast<float>(n);
}
struct NumberAt {
  const float* x;
  __device__ float operator()(int64_t i) const { return x[i]; }
};
template <class F>
void mean_of(int64_t n, F f, float* y) {
  const int block = n >= mean_block ? mean_block : static_cast<int>((n + 31) / 32 * 32);   // whole warps
  if (n > 0) launch(mean_kernel<F>, 1u, block, 0, n, f, y);
}

}  // namespace meander::kernels::MEANDER_CUDA
