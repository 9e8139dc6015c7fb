#include <meander/kernels/cuda/elements.h>
#include <meander/kernels/cuda/formulas.h>

// kernels/embedding.h. A block takes a few rows through the whole network, a thread a number of a row; each sum runs in
// the order of the CPU's, so that values and tangents have its bits.
namespace meander::kernels::MEANDER_CUDA {
namespace {

constexpr int block_rows = 4, block = 256;
constexpr float two_pi = 6.28318531f;

// What a pass is asked for. The last rows, from first_tangent on, have tangents.
struct EmbeddingPass {
  EmbeddingShape shape;
  const float* params;
  int64_t rows;
  const float* t;
  int64_t first_tangent;
  const float* dt;
  float *y, *dy;
  EmbeddingTape tape;      // null where none is kept
};

__device__ inline const float* frequencies(const EmbeddingShape& s, const float* params) {
  return s.fixed ? s.fixed : params + s.frequency;
}
__device__ inline float activation_of(const EmbeddingShape& s, float x) {
  return with_activation(s.activation, [&]<Activation a>() { return activate<a>(x); });
}
__device__ inline float slope_of(const EmbeddingShape& s, float x) {
  float value;
  return with_activation(s.activation, [&]<Activation a>() { return activation_slope<a>(x, value); });
}

// f(row of the block, row, column) for the block's rows, spread over its threads.
template <class F>
__device__ inline void for_block(int64_t rows, int cols, F f) {
  for (int e = static_cast<int>(threadIdx.x); e < block_rows * cols; e += block) {
    const int r = e / cols;
    const int64_t row = int64_t{blockIdx.x} * block_rows + r;
    if (row < rows) f(r, row, e - r * cols);
  }
}
// start + sum_i x[i] column[i step], in order
__device__ inline float chain(int n, const float* x, const float* column, int step, float start) {
#pragma unroll 8
  for (int i = 0; i < n; ++i) start = fma(x[i], column[int64_t{i} * step], start);
  return start;
}

__global__ void __launch_bounds__(block) embedding_kernel(EmbeddingPass pass) {
  const EmbeddingShape& s = pass.shape;
  const int k = static_cast<int>(s.frequencies), hidden = static_cast<int>(s.hidden), width = static_cast<int>(s.width);
  float* const features = shared_memory<float>();
  float* const activated = features + block_rows * 2 * k;
  float* const dfeatures = activated + block_rows * hidden;
  float* const dactivated = dfeatures + block_rows * 2 * k;
  const float *const params = pass.params, *const w = frequencies(s, params);

  for_block(pass.rows, k, [&](int r, int64_t row, int j) {
    float sine, cosine;
    sincos((two_pi * pass.t[row]) * w[j], sine, cosine);
    features[r * 2 * k + j] = cosine;
    features[r * 2 * k + k + j] = sine;
    if (pass.tape.features) {
      pass.tape.features[row * 2 * k + j] = cosine;
      pass.tape.features[row * 2 * k + k + j] = sine;
    }
    if (row < pass.first_tangent) return;
    const float angle = (two_pi * pass.dt[row - pass.first_tangent]) * w[j];
    dfeatures[r * 2 * k + j] = -sine * angle;
    dfeatures[r * 2 * k + k + j] = cosine * angle;
  });
  __syncthreads();
  for_block(pass.rows, hidden, [&](int r, int64_t row, int j) {
    const float* const weight = params + s.weight0 + j;
    const float sum = chain(2 * k, features + r * 2 * k, weight, hidden, params[s.bias0 + j]);
    const float value = activation_of(s, sum);
    activated[r * hidden + j] = value;
    if (pass.tape.features) {
      pass.tape.sum[row * hidden + j] = sum;
      pass.tape.activated[row * hidden + j] = value;
    }
    if (row >= pass.first_tangent)
      dactivated[r * hidden + j] = chain(2 * k, dfeatures + r * 2 * k, weight, hidden, 0.0f) * slope_of(s, sum);
  });
  __syncthreads();
  for_block(pass.rows, width, [&](int r, int64_t row, int j) {
    const float* const weight = params + s.weight1 + j;
    pass.y[row * width + j] = chain(hidden, activated + r * hidden, weight, width, params[s.bias1 + j]);
    if (row >= pass.first_tangent)
      pass.dy[(row - pass.first_tangent) * width + j] = chain(hidden, dactivated + r * hidden, weight, width, 0.0f);
  });
}

unsigned row_blocks(int64_t rows) { return static_cast<unsigned>((rows + block_rows - 1) / block_rows); }

// ---- the way back ----------------------------------------------------------------------------------------------------

// Cotangents row by row: dsum [rows, hidden] of the hidden layer's sums, dw [rows, frequencies] the rows' shares in the
// gradient of the frequencies (null: those are fixed).
__global__ void __launch_bounds__(block) embedding_rows_back(EmbeddingShape s, const float* params, int64_t rows,
                                                             const float* t, EmbeddingTape tape, const float* dy,
                                                             float* dsum, float* dw) {
  const int k = static_cast<int>(s.frequencies), hidden = static_cast<int>(s.hidden), width = static_cast<int>(s.width);
  float* const own = shared_memory<float>();   // dsum of the block's rows
  for_block(rows, hidden, [&](int r, int64_t row, int j) {
    const float back = chain(width, dy + row * width, params + s.weight1 + int64_t{j} * width, 1, 0.0f);
    own[r * hidden + j] = dsum[row * hidden + j] = back * slope_of(s, tape.sum[row * hidden + j]);
  });
  __syncthreads();
  if (!dw) return;
  for_block(rows, k, [&](int r, int64_t row, int j) {
    const auto back = [&](int feature) {
      return chain(hidden, own + r * hidden, params + s.weight0 + int64_t{feature} * hidden, 1, 0.0f);
    };
    const float cosine = tape.features[row * 2 * k + j], sine = tape.features[row * 2 * k + k + j];
    dw[row * k + j] = (cosine * back(k + j) - sine * back(j)) * (two_pi * t[row]);
  });
}

// A parameter's gradient: the sum over the rows of left times right, or of right alone.
struct RowSum {
  const float* left;       // null: 1
  int64_t left_step;
  const float* right;
  int64_t right_step;
  float* to;
};
__device__ inline RowSum row_sum_of(const EmbeddingShape& s, const EmbeddingTape& tape, const float* dy, const float* dsum,
                                    const float* dw, float* dparams, int64_t e) {
  const int64_t k = s.frequencies, weights1 = s.hidden * s.width, weights0 = 2 * k * s.hidden;
  if (e < weights1) {
    const int64_t i = divide(e, s.width);
    return {tape.activated + i, s.hidden, dy + e - i * s.width, s.width, dparams + s.weight1 + e};
  }
  if ((e -= weights1) < s.width) return {nullptr, 0, dy + e, s.width, dparams + s.bias1 + e};
  if ((e -= s.width) < weights0) {
    const int64_t i = divide(e, s.hidden);
    return {tape.features + i, 2 * k, dsum + e - i * s.hidden, s.hidden, dparams + s.weight0 + e};
  }
  if ((e -= weights0) < s.hidden) return {nullptr, 0, dsum + e, s.hidden, dparams + s.bias0 + e};
  e -= s.hidden;
  return {nullptr, 0, dw + e, k, dparams + s.frequency + e};
}

// A block sums 32 parameters' gradients, its 8 warps an eighth of the rows each; the eighths are added in order.
constexpr int warps = block / 32;
__global__ void __launch_bounds__(block) embedding_parameters_back(EmbeddingShape s, int64_t count, int64_t rows,
                                                                   EmbeddingTape tape, const float* dy,
                                                                   const float* dsum, const float* dw, float* dparams) {
  MEANDER_SHARED(float, part, block);
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  const int64_t e = int64_t{blockIdx.x} * 32 + lane, share = (rows + warps - 1) / warps;
  const int64_t first = warp * share, end = first + share < rows ? first + share : rows;
  const RowSum of = row_sum_of(s, tape, dy, dsum, dw, dparams, e < count ? e : 0);
  float sum = 0;
#pragma unroll 8
  for (int64_t row = first; row < end; ++row)
    sum = fma(of.left ? of.left[row * of.left_step] : 1.0f, of.right[row * of.right_step], sum);
  part[threadIdx.x] = sum;
  __syncthreads();
  if (warp > 0 || e >= count) return;
  for (int p = 1; p < warps; ++p) sum += part[p * 32 + lane];
  *of.to += sum;
}

}  // namespace

int64_t embedding_workspace(const EmbeddingShape& s, int64_t rows) { return rows * (s.hidden + s.frequencies); }

void embedding_value_and_tangent(const EmbeddingShape& s, const float* params, int64_t rows, const float* t,
                                 int64_t tangent_rows, const float* dt, float* y, float* dy, float* tape, float*) {
  if (rows <= 0) return;
  const int64_t floats = block_rows * (2 * s.frequencies + s.hidden) * (tangent_rows ? 2 : 1);
  const EmbeddingPass pass{s, params, rows, t, rows - tangent_rows, dt, y, dy,
                           tape ? embedding_tape(s, rows, tape) : EmbeddingTape{}};
  launch(embedding_kernel, row_blocks(rows), block, static_cast<size_t>(floats) * sizeof(float), pass);
}

void embedding_forward(const EmbeddingShape& s, const float* params, int64_t rows, const float* t, float* y,
                       float* tape, float* workspace) {
  MEANDER_CUDA::embedding_value_and_tangent(s, params, rows, t, 0, nullptr, y, nullptr, tape, workspace);
}

void embedding_backward(const EmbeddingShape& s, const float* params, int64_t rows, const float* t, const float* tape,
                        const float* dy, float* dparams, float* workspace) {
  if (rows <= 0) return;
  const EmbeddingTape of = embedding_tape(s, rows, const_cast<float*>(tape));
  float *const dsum = workspace, *const dw = s.fixed ? nullptr : workspace + rows * s.hidden;
  launch(embedding_rows_back, row_blocks(rows), block, static_cast<size_t>(block_rows * s.hidden) * sizeof(float), s,
         params, rows, t, of, dy, dsum, dw);
  const int64_t count = (s.hidden + 1) * s.width + (2 * s.frequencies + 1) * s.hidden + (s.fixed ? 0 : s.frequencies);
  launch(embedding_parameters_back, static_cast<unsigned>((count + 31) / 32), block, 0, s, count, rows, of, dy, dsum, dw,
         dparams);
}

}  // namespace meander::kernels::MEANDER_CUDA
