#include <algorithm>

#include <meander/kernels/cuda/kernels.h>
#include <meander/kernels/cuda/products.cuh>

namespace meander::kernels::MEANDER_CUDA {
namespace {

__device__ void store_result(const ProductResult& result, int64_t row, int64_t col, float sum) {
  float* const c = result.c + row * result.stride + col;
  if (result.start) sum += result.start[(result.first_row + row) / result.group * result.start_stride + col];
  if (result.accumulate) sum += *c;
  *c = sum;
}

// Block (x, y, z): tile (x, y) of the result, of chunk z of k. With `partial` the sums of a chunk go there.
template <bool a_by_k, bool b_by_k>
__global__ void __launch_bounds__(ProductTile::threads)
    product_kernel(int64_t m, int64_t n, int64_t k, int64_t chunk, Factor a, Factor b, ProductResult result,
                   float* partial) {
  const int64_t row = int64_t{blockIdx.x} * ProductTile::size, col = int64_t{blockIdx.y} * ProductTile::size;
  const int64_t first_k = int64_t{blockIdx.z} * chunk, last_k = first_k + chunk < k ? first_k + chunk : k;
  TileSums sums;
  product_tile<a_by_k, b_by_k>(sums, a, b, row, col, m, n, first_k, last_k);
  for_sums(sums, [&](int i, int j, float sum) {
    if (row + i >= m || col + j >= n) return;
    if (partial) partial[(blockIdx.z * m + row + i) * n + col + j] = sum;
    else store_result(result, row + i, col + j, sum);
  });
}

// The chunks' sums, in order.
__global__ void add_chunks(int64_t m, int64_t n, int chunks, const float* partial, ProductResult result) {
  for (int64_t e = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; e < m * n; e += int64_t{gridDim.x} * blockDim.x) {
    float sum = 0;
    for (int c = 0; c < chunks; ++c) sum += partial[c * m * n + e];
    store_result(result, e / n, e % n, sum);
  }
}

__global__ void product_plain_kernel(Order order, int64_t m, int64_t n, int64_t k, Factor a, Factor b,
                                     ProductResult result) {
  for (int64_t e = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; e < m * n; e += int64_t{gridDim.x} * blockDim.x) {
    const int64_t i = e / n, j = e % n;
    float sum = 0;
    for (int64_t l = 0; l < k; ++l)
      sum = fmaf(a.data[order == Order::tn ? l * a.stride + i : i * a.stride + l],
                 b.data[order == Order::nt ? j * b.stride + l : l * b.stride + j], sum);
    store_result(result, i, j, sum);
  }
}

int64_t tiles(int64_t n) { return (n + ProductTile::size - 1) / ProductTile::size; }

// Into how many chunks k goes where the result alone has too few tiles for a GPU. Depends on the sizes alone, so that
// equal calls give equal bits.
int64_t chunks(int64_t m, int64_t n, int64_t k) {
  constexpr int64_t enough_tiles = 64, shortest = 256;
  const int64_t count = tiles(m) * tiles(n);
  return count >= enough_tiles ? 1 : std::clamp<int64_t>(std::min(2 * enough_tiles / count, k / shortest), 1, 16);
}

}  // namespace

int64_t product_workspace(int64_t m, int64_t n, int64_t k) {
  const int64_t count = chunks(m, n, k);
  return count > 1 ? count * m * n : 0;
}

void dense(int64_t rows, int64_t in, int64_t out, const float* x, const float* weight, const float* bias, float* y,
           float* workspace) {
  product(Order::nn, rows, out, in, factor(x, in, rows, in), factor(weight, out, in, out),
          {.c = y, .stride = out, .start = bias, .group = rows}, workspace);
}

void product_nt(int64_t m, int64_t n, int64_t k, const float* a, const float* b, float* c, bool accumulate,
                float* workspace) {
  product(Order::nt, m, n, k, factor(a, k, m, k), factor(b, k, n, k), {.c = c, .stride = n, .accumulate = accumulate},
          workspace);
}

void product_tn(int64_t m, int64_t n, int64_t k, const float* a, const float* b, float* c, bool accumulate,
                float* workspace) {
  product(Order::tn, m, n, k, factor(a, m, k, m), factor(b, n, k, n), {.c = c, .stride = n, .accumulate = accumulate},
          workspace);
}

void product(Order order, int64_t m, int64_t n, int64_t k, const Factor& a, const Factor& b,
             const ProductResult& result, float* workspace) {
  if (m == 0 || n == 0) return;
  const int64_t count = workspace ? chunks(m, n, k) : 1;
  const int64_t slices = (k + ProductTile::depth - 1) / ProductTile::depth;
  const int64_t chunk = (slices + count - 1) / count * ProductTile::depth;
  const auto kernel = order == Order::nn   ? product_kernel<false, true>
                      : order == Order::nt ? product_kernel<false, false>
                                           : product_kernel<true, true>;
  launch(kernel, dim3(static_cast<unsigned>(tiles(m)), static_cast<unsigned>(tiles(n)), static_cast<unsigned>(count)),
         ProductTile::threads, ProductTile::shared_bytes, m, n, k, chunk, a, b, result,
         count > 1 ? workspace : nullptr);
  if (count > 1) launch(add_chunks, blocks_for(m * n, 256), 256, 0, m, n, count, workspace, result);
}

void product_plain(Order order, int64_t m, int64_t n, int64_t k, const Factor& a, const Factor& b,
                   const ProductResult& result) {
  if (m * n > 0) launch(product_plain_kernel, blocks_for(m * n, 256), 256, 0, order, m, n, k, a, b, result);
}

}  // namespace meander::kernels::MEANDER_CUDA
