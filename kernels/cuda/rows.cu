#include "kernels/cuda/elements.h"
#include "kernels/cuda/formulas.h"
#include "kernels/cuda/ptx.h"

// Operations that take each row of a matrix: kernels/rows.h. 16 threads a row are the 16 lanes in which the CPU sums it,
// with the same tree over them: hence the same bits.
namespace meander::kernels::MEANDER_CUDA {
namespace {

constexpr int lanes = 16, row_block = 64;
constexpr uint32_t whole_warp = 0xffffffffu;

// ---- a row by 16 threads ---------------------------------------------------------------------------------------------

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
__device__ inline float row_sum(const Row& row, const float* x) {
  float s = 0;
  for_lane(row, [&](int64_t j) { s += x[j]; });
  return sum(s);
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

// ---- sums and maxima -------------------------------------------------------------------------------------------------

__global__ void sum_row_kernel(int64_t rows, int64_t cols, const float* x, float* y) {
  for_rows(rows, cols, [&](Row row) {
    const float s = row_sum(row, x + row.index * cols);
    if (row.writes) y[row.index] = s;
  });
}
// Rows of at most 16 columns: one thread has all lanes.
__global__ void sum_narrow_row_kernel(int64_t rows, int64_t cols, const float* x, float* y) {
  for_elements(rows, [&](int64_t i) {
    float s[lanes];
#pragma unroll
    for (int j = 0; j < lanes; ++j) s[j] = 0.0f + (j < cols ? x[i * cols + j] : 0.0f);
#pragma unroll
    for (int half = lanes / 2; half >= 1; half /= 2)
#pragma unroll
      for (int j = 0; j < half; ++j) s[j] += s[j + half];
    y[i] = s[0];
  });
}
void sum_row(int64_t rows, int64_t cols, const float* x, float* y) {
  if (cols > lanes || cols <= 0) return launch_rows(sum_row_kernel, rows, cols, x, y);
  if (rows > 0) launch(sum_narrow_row_kernel, blocks_for(rows, element_block), element_block, 0, rows, cols, x, y);
}

__global__ void max_row_kernel(int64_t rows, int64_t cols, const float* x, float* y) {
  for_rows(rows, cols, [&](Row row) {
    const float m = row_max(row, x + row.index * cols);
    if (row.writes) y[row.index] = m;
  });
}
void max_row(int64_t rows, int64_t cols, const float* x, float* y) { launch_rows(max_row_kernel, rows, cols, x, y); }

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
void sum_column(int64_t rows, int64_t cols, const float* x, float* y) {
  if (cols <= 0) return;
  const int block = rows * (cols < tile_cols ? cols : tile_cols) <= 512 ? 64 : 256;
  launch(sum_column_kernel, static_cast<unsigned>((cols + tile_cols - 1) / tile_cols), block, 0, rows, cols, x, y);
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
void softmax(int64_t rows, int64_t cols, const float* x, float* y) { launch_rows(softmax_kernel, rows, cols, x, y); }

__global__ void log_sum_exp_kernel(int64_t rows, int64_t cols, const float* x, float* y) {
  for_rows(rows, cols, [&](Row row) {
    const float* from = x + row.index * cols;
    const float largest = row_max(row, from), total = row_exp_sum(row, from, largest);
    if (row.writes) y[row.index] = largest + log(total);
  });
}
void log_sum_exp(int64_t rows, int64_t cols, const float* x, float* y) {
  launch_rows(log_sum_exp_kernel, rows, cols, x, y);
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
void softmax_expectation(int64_t rows, int64_t cols, const float* x, const float* value, float* y) {
  launch_rows(softmax_expectation_kernel, rows, cols, x, value, y);
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
void layer_norm(int64_t rows, int64_t cols, float eps, const float* x, const float* scale, const float* shift, float* y,
                float* normalised, float* rstd) {
  launch_rows(layer_norm_kernel, rows, cols, eps, x, scale, shift, y, normalised, rstd);
}

// ---- C51 -------------------------------------------------------------------------------------------------------------

// A warp a row. Each mass of the row in turn, as on the CPU, is added to its two neighbours by the threads that hold
// these: thread t holds atoms t, 32 + t, 64 + t and 96 + t of each 128. The warp works out 32 masses at a time.
constexpr int project_block = 64, held = 4;
struct alignas(16) Share {
  int low;
  float lower, upper;   // parts of the mass
};
__global__ void c51_project_kernel(int64_t rows, int64_t atoms, float v_min, float v_max, const float* prob,
                                   const float* where, float* y) {
  MEANDER_SHARED(Share, shares, project_block);
  const int lane = static_cast<int>(threadIdx.x % 32);
  Share* const mine = shares + threadIdx.x / 32 * 32;
  for (int64_t i = this_thread() / 32; i < rows; i += all_threads() / 32) {
    for (int64_t first = 0; first < atoms; first += 32 * held) {
      float s[held] = {};
      for (int64_t j = 0; j < atoms; j += 32) {
        const int count = static_cast<int>(atoms - j < 32 ? atoms - j : 32);
        if (lane < count) {
          const float mass = prob[i * atoms + j + lane];
          const GridPlace place = grid_place(atoms, v_min, v_max, where[i * atoms + j + lane]);
          mine[lane] = {static_cast<int>(place.low), mass * (1.0f - place.upper_share), mass * place.upper_share};
        }
        __syncwarp();
        for (int k = 0; k < count; ++k) {
          const Share share = mine[k];
          const int from_low = static_cast<int>(first) + lane - share.low;
#pragma unroll
          for (int h = 0; h < held; ++h)
            s[h] += from_low + 32 * h == 0 ? share.lower : from_low + 32 * h == 1 ? share.upper : 0.0f;
        }
        __syncwarp();
      }
#pragma unroll
      for (int h = 0; h < held; ++h)
        if (first + lane + 32 * h < atoms) y[i * atoms + first + lane + 32 * h] = s[h];
    }
  }
}
void c51_project(int64_t rows, int64_t atoms, float v_min, float v_max, const float* prob, const float* where,
                 float* y) {
  if (rows * atoms > 0)
    launch(c51_project_kernel, blocks_for(rows * 32, project_block), project_block, 0, rows, atoms, v_min, v_max, prob,
           where, y);
}

__global__ void c51_project_transpose_kernel(int64_t rows, int64_t atoms, float v_min, float v_max, const float* where,
                                             const float* dy, float* dprob) {
  for_matrix(rows, atoms, [&](int64_t i, int64_t j) {
    const GridPlace place = grid_place(atoms, v_min, v_max, where[i * atoms + j]);
    const float* row = dy + i * atoms + place.low;
    dprob[i * atoms + j] = row[0] * (1.0f - place.upper_share) + row[1] * place.upper_share;
  });
}
void c51_project_transpose(int64_t rows, int64_t atoms, float v_min, float v_max, const float* where, const float* dy,
                           float* dprob) {
  if (rows * atoms > 0)
    launch(c51_project_transpose_kernel, blocks_for(rows * atoms, element_block), element_block, 0, rows, atoms, v_min,
           v_max, where, dy, dprob);
}

}  // namespace

void add_rows(DeviceKernels& k) {
  k.sum_row = sum_row;
  k.sum_column = sum_column;
  k.max_row = max_row;
  k.softmax = softmax;
  k.log_sum_exp = log_sum_exp;
  k.softmax_expectation = softmax_expectation;
  k.layer_norm = layer_norm;
  k.c51_project = c51_project;
  k.c51_project_transpose = c51_project_transpose;
}

}  // namespace meander::kernels::MEANDER_CUDA
