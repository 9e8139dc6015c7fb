#include <meander/kernels/cuda/projection.h>
#include <meander/kernels/cuda/ptx.h>
#include <meander/kernels/cuda/row_lanes.h>

// Operations that take each row of a matrix: kernels/rows.h.
namespace meander::kernels::MEANDER_CUDA {
namespace {

// ---- sums -----------------------------------------------------------------------------------------------------------

__global__ void sum_row_kernel(int64_t rows, int64_t cols, const float* x, float* y) {
  for_rows(rows, cols, [&](Row row) {
    const float s = row_sum(row, x + row.index * cols);
    if (row.writes) y[row.index] = s;
  });
}
// Rows of at most 16 columns: one thread has all lanes.
__global__ void sum_narrow_row_kernel(int64_t rows, int64_t cols, const float* x, float* y) {
  for_elements(rows, [&](int64_t i) { y[i] = sum_in_lanes(cols, [&](int64_t j) { return x[i * cols + j]; }); });
}

// A block sums up to 8 columns (32 bytes, the least that memory moves), a thread for each, in row order. All its threads
// fetch, two tiles of rows in turn, so that one is summed while the next is on its way.
constexpr int tile_size = 2048, tile_cols = 8;
__global__ void sum_column_kernel(int64_t rows, int64_t cols, const float* x, float* y) {
  MEANDER_SHARED(float, tile, 2 * tile_size);
  const int64_t first = int64_t{blockIdx.x} * tile_cols;
  const int width = static_cast<int>(cols - first < tile_cols ? cols - first : tile_cols), height = tile_size / width;
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  const auto height_at = [&](int64_t row) { return static_cast<int>(rows - row < height ? rows - row : height); };
  const auto fetch = [&](int64_t row, float* to) {
    const int count = row < rows ? height_at(row) * width : 0;
    for (int e = thread; e < count; e += threads)
      copy_async4(to + e, x + (row + e / width) * cols + first + e % width);
    copy_async_commit();
  };
  float s = 0;
  fetch(0, tile);
  int which = 0;
  for (int64_t row = 0; row < rows; row += height, which ^= 1) {
    fetch(row + height, tile + (which ^ 1) * tile_size);
    copy_async_wait<1>();
    __syncthreads();
    if (thread < width) {
      const float* p = tile + which * tile_size + thread;
      const int count = height_at(row);
#pragma unroll 8
      for (int r = 0; r < count; ++r) s += p[r * width];
    }
    __syncthreads();
  }
  copy_async_wait<0>();
  if (thread < width) y[first + thread] = s;
}

__global__ void normal_log_prob_kernel(int64_t rows, int64_t cols, float offset, const float* x, float* y) {
  for_elements(rows, [&](int64_t i) {
    const float squares = sum_in_lanes(cols, [&](int64_t j) { return x[i * cols + j] * x[i * cols + j]; });
    y[i] = -0.5f * squares + offset;
  });
}

// ---- softmax ---------------------------------------------------------------------------------------------------------

__global__ void softmax_kernel(int64_t rows, int64_t cols, const float* x, float* y) {
  for_rows(rows, cols, [&](Row row) {
    const float* from = x + row.index * cols;
    float* to = y + row.index * cols;
    const float largest = row_max(row, from), total = row_exp_sum(row, from, largest);
    for_lane(row, [&](int64_t j) { to[j] = exp(from[j] - largest) / total; });
  });
}

__global__ void log_sum_exp_kernel(int64_t rows, int64_t cols, const float* x, float* y) {
  for_rows(rows, cols, [&](Row row) {
    const float* from = x + row.index * cols;
    const float largest = row_max(row, from), total = row_exp_sum(row, from, largest);
    if (row.writes) y[row.index] = largest + log(total);
  });
}

__global__ void softmax_expectation_kernel(int64_t rows, int64_t cols, const float* x, const float* value, float* y) {
  for_rows(rows, cols, [&](Row row) {
    const float* from = x + row.index * cols;
    const float largest = row_max(row, from);
    float weight = 0, weighted = 0;
    for_lane(row, [&](int64_t j) {
      const float e = exp(from[j] - largest);
      weight += e;
      weighted = fma(e, value[j], weighted);
    });
    weight = sum(weight);
    weighted = sum(weighted);
    if (row.writes) y[row.index] = weighted / weight;
  });
}

// ---- layer norm ------------------------------------------------------------------------------------------------------

__global__ void layer_norm_kernel(int64_t rows, int64_t cols, float eps, const float* x, const float* scale,
                                  const float* shift, float* y, float* normalised, float* rstd) {
  for_rows(rows, cols, [&](Row row) {
    const int64_t start = row.index * cols;
    const float mean = row_sum(row, x + start) / static_cast<float>(cols);
    float squares = 0;
    for_lane(row, [&](int64_t j) {
      const float d = x[start + j] - mean;
      squares = fma(d, d, squares);
    });
    const float r = 1.0f / sqrt(sum(squares) / static_cast<float>(cols) + eps);
    for_lane(row, [&](int64_t j) {
      const float n = (x[start + j] - mean) * r;
      if (normalised) normalised[start + j] = n;
      y[start + j] = fma(n, scale[j], shift[j]);
    });
    if (rstd && row.writes) rstd[row.index] = r;
  });
}

// ---- C51 -------------------------------------------------------------------------------------------------------------

__global__ void c51_project_kernel(int64_t rows, int64_t atoms, float v_min, float v_max, const float* prob,
                                   const float* where, float* y) {
  MEANDER_SHARED(Share<1>, shares, project_block);
  for (int64_t i = this_thread() / 32; i < rows; i += all_threads() / 32)
    project_row<1>(
        atoms, v_min, v_max, shares + threadIdx.x / 32 * 32, [&](int64_t j) { return where[i * atoms + j]; },
        [&](int, int64_t j) { return prob[i * atoms + j]; },
        [&](int, int64_t j, float mass) { y[i * atoms + j] = mass; });
}

__global__ void c51_project_transpose_kernel(int64_t rows, int64_t atoms, float v_min, float v_max, const float* where,
                                             const float* dy, float* dprob) {
  for_matrix(rows, atoms, [&](int64_t i, int64_t j) {
    const GridPlace place = grid_place(atoms, v_min, v_max, where[i * atoms + j]);
    const float* row = dy + i * atoms + place.low;
    dprob[i * atoms + j] = row[0] * (1.0f - place.upper_share) + row[1] * place.upper_share;
  });
}

}  // namespace

void sum_row(int64_t rows, int64_t cols, const float* x, float* y) {
  if (cols > lanes || cols <= 0) return launch_rows(sum_row_kernel, rows, cols, x, y);
  if (rows > 0) launch(sum_narrow_row_kernel, blocks_for(rows, element_block), element_block, 0, rows, cols, x, y);
}

void sum_column(int64_t rows, int64_t cols, const float* x, float* y) {
  if (cols <= 0) return;
  const int block = rows * (cols < tile_cols ? cols : tile_cols) <= 512 ? 64 : 256;
  launch(sum_column_kernel, static_cast<unsigned>((cols + tile_cols - 1) / tile_cols), block, 0, rows, cols, x, y);
}

void mean(int64_t n, const float* x, float* y) { mean_of(n, NumberAt{x}, y); }

void normal_log_prob(int64_t rows, int64_t cols, const float* x, float* y) {
  const float offset = static_cast<float>(-half_log_two_pi * static_cast<double>(cols));
  if (rows > 0)
    launch(normal_log_prob_kernel, blocks_for(rows, element_block), element_block, 0, rows, cols, offset, x, y);
}

void softmax(int64_t rows, int64_t cols, const float* x, float* y) { launch_rows(softmax_kernel, rows, cols, x, y); }

void log_sum_exp(int64_t rows, int64_t cols, const float* x, float* y) {
  launch_rows(log_sum_exp_kernel, rows, cols, x, y);
}

void softmax_expectation(int64_t rows, int64_t cols, const float* x, const float* value, float* y) {
  launch_rows(softmax_expectation_kernel, rows, cols, x, value, y);
}

void layer_norm(int64_t rows, int64_t cols, float eps, const float* x, const float* scale, const float* shift, float* y,
                float* normalised, float* rstd) {
  launch_rows(layer_norm_kernel, rows, cols, eps, x, scale, shift, y, normalised, rstd);
}

void c51_project(int64_t rows, int64_t atoms, float v_min, float v_max, const float* prob, const float* where,
                 float* y) {
  if (rows * atoms > 0)
    launch(c51_project_kernel, blocks_for(rows * 32, project_block), project_block, 0, rows, atoms, v_min, v_max, prob,
           where, y);
}

void c51_project_transpose(int64_t rows, int64_t atoms, float v_min, float v_max, const float* where, const float* dy,
                           float* dprob) {
  if (rows * atoms > 0)
    launch(c51_project_transpose_kernel, blocks_for(rows * atoms, element_block), element_block, 0, rows, atoms, v_min,
           v_max, where, dy, dprob);
}

}  // namespace meander::kernels::MEANDER_CUDA
