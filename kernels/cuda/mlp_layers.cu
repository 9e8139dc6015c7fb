#include <algorithm>

#include <meander/kernels/cuda/formulas.h>
#include <meander/kernels/cuda/mlp_pass.h>
#include <meander/kernels/cuda/products.cuh>

// A multi-layer perceptron layer by layer: a product, then norm and activation with a warp for each row, all in global
// memory. Serves widths that do not fit in shared memory and, with the plain products, as the readable reference of
// mlp_chain.cu.
namespace meander::kernels::MEANDER_CUDA {
namespace {

constexpr int row_threads = 128;   // four rows a block
constexpr unsigned full = 0xffffffffu;

// One hidden layer's norm and activation.
struct Finish {
  Activation activation;
  Norm norm;
  int64_t cols;
  const float* scale;
  const float* shift;
  float eps;
};
Finish finish_of(const MlpShape& s, const float* params, int l) {
  return {s.activation, s.norm, s.width[l + 1], params + s.scale[l], params + s.shift[l], s.norm_eps};
}

template <class F>
__device__ void for_columns(int64_t cols, F&& f) {
  for (int64_t j = threadIdx.x % 32; j < cols; j += 32) f(j);
}
// The mean of f(column) over a row, the same number in all lanes.
template <class F>
__device__ float row_mean(int64_t cols, F&& f) {
  float sum = 0;
  for_columns(cols, [&](int64_t j) { sum += f(j); });
  for (int bits = 16; bits > 0; bits /= 2) sum += __shfl_xor_sync(full, sum, bits);
  return sum / static_cast<float>(cols);
}
template <class F>
__device__ float row_rstd(int64_t cols, float eps, float mean, F&& f) {
  return 1.0f / sqrtf(row_mean(cols, [&](int64_t j) { return (f(j) - mean) * (f(j) - mean); }) + eps);
}
// d becomes rstd (d - mean(d) - n mean(n d)): the tangent of the normalised row n and, the map being symmetric, its
// pullback.
template <class N>
__device__ void normalise_tangent(int64_t cols, float rstd, float* d, N&& n) {
  const float mean = row_mean(cols, [&](int64_t j) { return d[j]; });
  const float mean_n = row_mean(cols, [&](int64_t j) { return n(j) * d[j]; });
  for_columns(cols, [&](int64_t j) { d[j] = rstd * (d[j] - mean - n(j) * mean_n); });
}

// A row z of the dense layer's output becomes the layer's output; each of the `directions` rows of dz its tangent.
template <Activation activation>
__device__ void finish_row(const Finish& f, int64_t row_number, float* z, int64_t directions, float* dz,
                           const TapeLayer& tape) {
  float mean = 0, rstd = 0, unused;
  const auto value = [&](int64_t j) { return z[j]; };
  const auto scaled = [&](int64_t j) { return fmaf(z[j], f.scale[j], f.shift[j]); };
  if (f.norm == Norm::before_activation) {
    mean = row_mean(f.cols, value), rstd = row_rstd(f.cols, f.eps, mean, value);
    for_columns(f.cols, [&](int64_t j) { z[j] = (z[j] - mean) * rstd; });
  }
  if (tape.kept) for_columns(f.cols, [&](int64_t j) { tape.kept[row_number * pitch_of(f.cols) + j] = z[j]; });
  for (int64_t d = 0; d < directions; ++d) {
    float* const row = dz + d * f.cols;
    if (f.norm == Norm::before_activation) {
      normalise_tangent(f.cols, rstd, row, value);
      for_columns(f.cols, [&](int64_t j) { row[j] *= f.scale[j] * activation_slope<activation>(scaled(j), unused); });
    } else {
      for_columns(f.cols, [&](int64_t j) { row[j] *= activation_slope<activation>(z[j], unused); });
    }
  }
  for_columns(f.cols, [&](int64_t j) {
    z[j] = activate<activation>(f.norm == Norm::before_activation ? scaled(j) : z[j]);
  });
  if (f.norm == Norm::after_activation) {
    mean = row_mean(f.cols, value), rstd = row_rstd(f.cols, f.eps, mean, value);
    for_columns(f.cols, [&](int64_t j) { z[j] = (z[j] - mean) * rstd; });
    for (int64_t d = 0; d < directions; ++d) {
      float* const row = dz + d * f.cols;
      normalise_tangent(f.cols, rstd, row, value);
      for_columns(f.cols, [&](int64_t j) { row[j] *= f.scale[j]; });
    }
    for_columns(f.cols, [&](int64_t j) { z[j] = scaled(j); });
  }
  if (tape.kept && threadIdx.x % 32 == 0) tape.rstd[row_number] = rstd, tape.mean[row_number] = mean;
}

__global__ void finish_rows(Finish f, int64_t rows, float* z, int64_t tangent_rows, int64_t directions, float* dz,
                            TapeLayer tape) {
  const int64_t row = (int64_t{blockIdx.x} * row_threads + threadIdx.x) / 32, plain = rows - tangent_rows;
  if (row >= rows) return;
  const int64_t n = row < plain ? 0 : directions;
  float* const d = n ? dz + (row - plain) * directions * f.cols : nullptr;
  with_activation(f.activation, [&]<Activation activation>() {
    finish_row<activation>(f, row, z + row * f.cols, n, d, tape);
  });
}

// The cotangent d of a layer's output becomes that of the dense layer's output. h: the layer's output once more;
// dshift, dscale: what the row adds to the gradient of the norm. Those three or none.
template <Activation activation>
__device__ void pull_row(const Finish& f, const float* kept, float rstd, float mean, float* d, float* h, float* dshift,
                         float* dscale) {
  float value;
  const auto normalised = [&](int64_t j) {
    return f.norm == Norm::after_activation ? (activate<activation>(kept[j]) - mean) * rstd : kept[j];
  };
  if (f.norm != Norm::after_activation)
    for_columns(f.cols, [&](int64_t j) {
      const bool scaled = f.norm == Norm::before_activation;
      d[j] *= activation_slope<activation>(scaled ? fmaf(kept[j], f.scale[j], f.shift[j]) : kept[j], value);
      if (h) h[j] = value;
    });
  if (f.norm != Norm::none) {
    for_columns(f.cols, [&](int64_t j) {
      const float n = normalised(j);
      if (h) {
        dshift[j] = d[j], dscale[j] = d[j] * n;
        if (f.norm == Norm::after_activation) h[j] = fmaf(n, f.scale[j], f.shift[j]);
      }
      d[j] *= f.scale[j];
    });
    normalise_tangent(f.cols, rstd, d, normalised);
  }
  if (f.norm == Norm::after_activation)
    for_columns(f.cols, [&](int64_t j) { d[j] *= activation_slope<activation>(kept[j], value); });
}

__global__ void pull_rows(Finish f, int64_t rows, TapeLayer tape, float* d, float* h, float* dshift, float* dscale) {
  const int64_t row = (int64_t{blockIdx.x} * row_threads + threadIdx.x) / 32, at = row * f.cols;
  if (row >= rows) return;
  with_activation(f.activation, [&]<Activation activation>() {
    pull_row<activation>(f, tape.kept + row * pitch_of(f.cols), tape.rstd[row], tape.mean[row], d + at,
                         h ? h + at : nullptr, dshift + at, dscale + at);
  });
}

// to[col] += the sum of a column.
__global__ void add_columns(int64_t rows, int64_t cols, const float* x, float* to) {
  const int64_t col = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (col >= cols) return;
  float sum = 0;
  for (int64_t i = 0; i < rows; ++i) sum += x[i * cols + col];
  to[col] += sum;
}

unsigned row_blocks(int64_t rows) { return static_cast<unsigned>((rows * 32 + row_threads - 1) / row_threads); }

void multiply(bool plain, Order order, int64_t m, int64_t n, int64_t k, const Factor& a, const Factor& b,
              const ProductResult& result) {
  if (plain) product_plain(order, m, n, k, a, b, result);
  else product(order, m, n, k, a, b, result, nullptr);
}

int64_t widest(const MlpShape& shape) {
  return *std::max_element(shape.width + 1, shape.width + shape.layers + 1);
}

}  // namespace

int64_t layers_workspace(const MlpShape& shape, int64_t rows) { return 5 * rows * widest(shape); }

void layers_forward(const ForwardPass& p, float* workspace, bool plain) {
  const MlpShape& s = *p.shape;
  if (p.rows == 0) return;
  const int64_t tangents = p.tangent_rows * p.directions, wide = widest(s);
  float* there[2] = {workspace, workspace + p.rows * wide};
  float* tangents_there[2] = {there[1] + p.rows * wide, there[1] + (p.rows + tangents) * wide};
  const float *x = p.x, *dx = p.dx;
  for (int l = 0; l < s.layers; ++l) {
    const bool last = l + 1 == s.layers;
    const int64_t in = l ? s.width[l] : p.x_cols, dx_in = l ? s.width[l] : p.dx_cols, out = s.width[l + 1];
    const float* const weight = p.params + s.weight[l];
    float* const y = last ? p.y : there[l % 2];
    float* const dy = last ? p.dy : tangents_there[l % 2];
    ProductResult sums{.c = y, .stride = out, .start = p.params + s.bias[l], .group = p.rows};
    if (l == 0 && p.start)
      sums.start = p.start, sums.first_row = p.first_row, sums.group = p.group, sums.start_stride = out;
    multiply(plain, Order::nn, p.rows, out, in, factor(x, in, p.rows, in),
             factor(weight + (l ? 0 : p.first_input * out), out, in, out), sums);
    multiply(plain, Order::nn, tangents, out, dx_in, factor(dx, dx_in, tangents, dx_in),
             factor(weight + (l ? 0 : p.first_dx * out), out, dx_in, out), {.c = dy, .stride = out});
    if (last) return;
    launch(finish_rows, row_blocks(p.rows), row_threads, 0, finish_of(s, p.params, l), p.rows, y, p.tangent_rows,
           p.directions, dy, tape_layer(s, l, p.rows, p.tape));
    x = y, dx = dy;
  }
}

void layers_backward(const BackwardPass& p, float* workspace, bool plain) {
  const MlpShape& s = *p.shape;
  if (p.rows == 0) return;
  const int64_t buffer = p.rows * widest(s);
  float* const cotangents[2] = {workspace, workspace + buffer};
  float* const h = p.dparams ? workspace + 2 * buffer : nullptr;
  float *const dshift = workspace + 3 * buffer, *const dscale = workspace + 4 * buffer;
  const float* dz = p.dy;   // cotangent of the dense layer's output
  for (int l = s.layers - 1; l >= 0; --l) {
    const int64_t in = s.width[l], out = s.width[l + 1], din_cols = l ? in : p.dx_cols;
    float* const din = l ? cotangents[l % 2] : p.dx;
    if (din)
      multiply(plain, Order::nt, p.rows, din_cols, out, factor(dz, out, p.rows, out),
               factor(p.params + s.weight[l] + (l ? 0 : p.first_input * out), out, din_cols, out),
               {.c = din, .stride = din_cols});
    if (l)
      launch(pull_rows, row_blocks(p.rows), row_threads, 0, finish_of(s, p.params, l - 1), p.rows,
             tape_layer(s, l - 1, p.rows, p.tape), din, h, dshift, dscale);
    if (p.dparams) {
      const auto add = [&](int64_t cols, const float* summed, int64_t at) {
        launch(add_columns, blocks_for(cols, 64), 64, 0, p.rows, cols, summed, p.dparams + at);
      };
      multiply(plain, Order::tn, in, out, p.rows, factor(l ? h : p.x, in, p.rows, in), factor(dz, out, p.rows, out),
               {.c = p.dparams + s.weight[l], .stride = out, .accumulate = true});
      add(out, dz, s.bias[l]);
      if (l && s.norm != Norm::none) add(in, dshift, s.shift[l - 1]), add(in, dscale, s.scale[l - 1]);
    }
    dz = din;
  }
}

}  // namespace meander::kernels::MEANDER_CUDA
