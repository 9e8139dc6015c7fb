#pragma once

#include <meander/kernels/cuda/cuda.h>
#include <meander/kernels/cuda/ptx.h>

// Matrix products on tensor cores with float32's accuracy: each factor is the sum of a big and a small tf32 number, and
// big big + big small + small big leaves out only small small, 2^-22 of the product.
namespace meander::kernels::MEANDER_CUDA {

// ---- fragments in two parts -----------------------------------------------------------------------------------------

template <int N>
struct Parts {
  uint32_t big[N], small[N];
};

// big: x rounded to tf32 (infinity stays one); small: what is left, of which the product takes the leading 11 bits.
__device__ inline void split(float x, uint32_t& big, uint32_t& small) {
  big = (__float_as_uint(x) + 0x1000u) & 0xffffe000u;
  small = __float_as_uint(x - __uint_as_float(big)) & 0xffffe000u;
}
__device__ inline Parts<4> split_a(const uint32_t (&a)[4]) {
  Parts<4> parts;
#pragma unroll
  for (int i = 0; i < 4; ++i) split(__uint_as_float(a[i]), parts.big[i], parts.small[i]);
  return parts;
}
__device__ inline Parts<2> split_b(float b0, float b1) {
  Parts<2> parts;
  split(b0, parts.big[0], parts.small[0]);
  split(b1, parts.big[1], parts.small[1]);
  return parts;
}
// sum += a b. The tensor core cuts its sums off instead of rounding them, so the small products come first and the
// running sum stays out of it: else it would shrink by half an ulp at each step.
__device__ inline void multiply(float (&sum)[4], const Parts<4>& a, const Parts<2>& b) {
  float step[4] = {0, 0, 0, 0};
  mma_tf32(step, a.small, b.big);
  mma_tf32(step, a.big, b.small);
  mma_tf32(step, a.big, b.big);
#pragma unroll
  for (int i = 0; i < 4; ++i) sum[i] += step[i];
}

// ---- a tile of a product by a block ---------------------------------------------------------------------------------

// A factor as it lies in memory: rows of `cols` numbers, `stride` apart. Whole groups of 16 bytes can be copied where
// `aligned`.
struct Factor {
  const float* data;
  int64_t stride, rows, cols;
  bool aligned;
};
inline Factor factor(const float* data, int64_t stride, int64_t rows, int64_t cols) {
  return {data, stride, rows, cols, reinterpret_cast<uintptr_t>(data) % 16 == 0 && stride % 4 == 0};
}

struct ProductTile {
  static constexpr int size = 64;                     // rows and columns of the result
  static constexpr int depth = 32;                    // of a slice of the factors
  static constexpr int threads = 256, stages = 3;
  static constexpr int slice = size * (depth + 4);    // floats: [size][depth + 4], or [depth][size + 8]
  static constexpr int shared_bytes = stages * 2 * slice * 4;
  static_assert(size * (depth + 4) == depth * (size + 8));
};

// Rows [row, row + Rows) and columns [col, col + Cols) of f to shared memory, rows `pitch` apart; zeros beyond the
// edges.
template <int Rows, int Cols>
__device__ void copy_slice(float* to, int pitch, const Factor& f, int64_t row, int64_t col) {
  const auto copy = [&](int r, int c, int count, auto&& instruction) {
    const int64_t left = row + r < f.rows ? f.cols - (col + c) : 0;
    const int valid = left <= 0 ? 0 : left < count ? static_cast<int>(left) : count;
    instruction(to + r * pitch + c, valid ? f.data + (row + r) * f.stride + col + c : f.data, valid * 4);
  };
  if (f.aligned) {
    for (int e = static_cast<int>(threadIdx.x); e < Rows * Cols / 4; e += ProductTile::threads)
      copy(e / (Cols / 4), e % (Cols / 4) * 4, 4,
           [](float* s, const float* g, int bytes) { copy_async16(s, g, bytes); });
  } else {
    for (int e = static_cast<int>(threadIdx.x); e < Rows * Cols; e += ProductTile::threads)
      copy(e / Cols, e % Cols, 1, [](float* s, const float* g, int bytes) { copy_async4(s, g, bytes); });
  }
}

// What a warp has of the tile: rows 16 (warp / 2) + ..., columns 32 (warp % 2) + ..., as four results of mma.
using TileSums = float[4][4];

// f(row, col, sum) for each of the warp's sums, at their place in the tile.
template <class F>
__device__ void for_sums(const TileSums& sums, F&& f) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int t = 0; t < 4; ++t)
#pragma unroll
    for (int i = 0; i < 4; ++i)
      f(warp / 2 * 16 + lane / 4 + i / 2 * 8, warp % 2 * 32 + t * 8 + lane % 4 * 2 + i % 2, sums[t][i]);
}

// sums = a b over k in [first_k, last_k), for the tile at (row, col) of a result [rows, cols]. a is [m, k], or [k, m]
// if a_by_k; b is [k, n] if b_by_k, or [n, k]. Each sum runs over k in order.
template <bool a_by_k, bool b_by_k>
__device__ void product_tile(TileSums& sums, const Factor& a, const Factor& b, int64_t row, int64_t col, int64_t rows,
                             int64_t cols, int64_t first_k, int64_t last_k) {
  using T = ProductTile;
  float* const shared = shared_memory<float>();
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int group = lane / 4, rest = lane % 4, warp_row = warp / 2 * 16, warp_col = warp % 2 * 32;
  constexpr int by_k = T::size + 8, by_row = T::depth + 4;   // pitches that spread over the banks
  const bool busy = row + warp_row < rows && col + warp_col < cols;
  Factor a_part = a, b_part = b;                             // cut off at last_k
  (a_by_k ? a_part.rows : a_part.cols) = last_k;
  (b_by_k ? b_part.rows : b_part.cols) = last_k;

  const int slices = static_cast<int>((last_k - first_k + T::depth - 1) / T::depth);
  const auto copy = [&](int s) {
    if (s < slices) {
      float* const to = shared + s % T::stages * (2 * T::slice);
      const int64_t k = first_k + int64_t{s} * T::depth;
      if constexpr (a_by_k) copy_slice<T::depth, T::size>(to, by_k, a_part, k, row);
      else copy_slice<T::size, T::depth>(to, by_row, a_part, row, k);
      if constexpr (b_by_k) copy_slice<T::depth, T::size>(to + T::slice, by_k, b_part, k, col);
      else copy_slice<T::size, T::depth>(to + T::slice, by_row, b_part, col, k);
    }
    copy_async_commit();
  };
#pragma unroll
  for (int t = 0; t < 4; ++t)
#pragma unroll
    for (int i = 0; i < 4; ++i) sums[t][i] = 0;
  for (int s = 0; s + 1 < T::stages; ++s) copy(s);
  for (int s = 0; s < slices; ++s) {
    copy_async_wait<T::stages - 2>();
    __syncthreads();   // slice s is there for all, and all are done with the slice that the next copy replaces
    copy(s + T::stages - 1);
    const float* const sa = shared + s % T::stages * (2 * T::slice);
    const float* const sb = sa + T::slice;
    if (!busy) continue;
#pragma unroll
    for (int k = 0; k < T::depth; k += 8) {
      uint32_t word[4];
      if constexpr (a_by_k) {
#pragma unroll
        for (int i = 0; i < 4; ++i)
          word[i] = __float_as_uint(sa[(k + rest + i / 2 * 4) * by_k + warp_row + group + i % 2 * 8]);
      } else {
        load_matrices(word, sa + (warp_row + lane % 16) * by_row + k + lane / 16 * 4);
      }
      const Parts<4> part = split_a(word);
#pragma unroll
      for (int t = 0; t < 4; ++t) {
        const int n = warp_col + t * 8 + group;
        if (col + warp_col + t * 8 >= cols) break;
        const float* const b0 = b_by_k ? sb + (k + rest) * by_k + n : sb + n * by_row + k + rest;
        multiply(sums[t], part, split_b(b0[0], b0[b_by_k ? 4 * by_k : 4]));
      }
    }
  }
  copy_async_wait<0>();
  __syncthreads();
}

// ---- whole products, queued -----------------------------------------------------------------------------------------

// c [m, n] = a b, rows of c `stride` apart, with
//   start: null, or what the sums begin with: start[(first_row + row) / group * start_stride + col];
//   accumulate: added to what is in c.
struct ProductResult {
  float* c;
  int64_t stride;
  const float* start = nullptr;
  int64_t first_row = 0, group = 1, start_stride = 0;
  bool accumulate = false;
};
enum class Order { nn, nt, tn };   // how a and b lie: a [m, k] b [k, n]; b [n, k]; a [k, m]
void product(Order, int64_t m, int64_t n, int64_t k, const Factor& a, const Factor& b, const ProductResult&,
             float* workspace /* of product_workspace(m, n, k), or null */);
// The same with one thread an element and nothing clever.
void product_plain(Order, int64_t m, int64_t n, int64_t k, const Factor& a, const Factor& b, const ProductResult&);

}  // namespace meander::kernels::MEANDER_CUDA
