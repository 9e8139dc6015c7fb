#include <meander/kernels/embedding.h>

#include <algorithm>
#include <numbers>

#include <meander/kernels/cpu/table.h>
#include <meander/kernels/dense.h>
#include <meander/kernels/threads.h>

namespace meander::kernels {
namespace {

constexpr float two_pi = static_cast<float>(2 * std::numbers::pi);

const float* frequencies(const EmbeddingShape& s, const float* params) {
  return s.fixed ? s.fixed : params + s.frequency;
}

// f(row) for all rows, spread over the threads.
template <class F>
void for_rows(const EmbeddingShape& s, int64_t rows, F f) {
  parallel_for(rows, 1 + 4096 / (s.frequencies + 1), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) f(i);
  });
}

// dx = activation'(sum) dy, in place of dy; `slope` is scratch.
void times_slope(const EmbeddingShape& s, int64_t rows, const float* sum, float* slope, float* dy) {
  activation_slope(s.activation, rows * s.hidden, sum, slope);
  for (int64_t i = 0; i < rows * s.hidden; ++i) dy[i] *= slope[i];
}

// The scratch of `rows` rows: derivatives of the features and of the hidden layer, slopes, and that of the products.
struct Scratch {
  float *dfeatures, *dhidden, *slope, *product;
};
Scratch scratch(const EmbeddingShape& s, int64_t rows, float* p) {
  float *const dhidden = p + rows * 2 * s.frequencies, *const slope = dhidden + rows * s.hidden;
  return {p, dhidden, slope, slope + rows * s.hidden};
}

}  // namespace

int64_t embedding_workspace(const EmbeddingShape& s, int64_t rows) {
  const auto product = [](int64_t a, int64_t b) {
    return std::max(product_workspace(1, a, b), product_workspace(1, b, a));
  };
  return 2 * embedding_tape_size(s, rows) + product(2 * s.frequencies, s.hidden) + product(s.hidden, s.width);
}

void embedding_forward(const EmbeddingShape& s, const float* params, int64_t rows, const float* t, float* y, float* tape,
                       float* workspace) {
  embedding_value_and_tangent(s, params, rows, t, 0, nullptr, y, nullptr, tape, workspace);
}

void embedding_value_and_tangent(const EmbeddingShape& s, const float* params, int64_t rows, const float* t,
                                 int64_t tangent_rows, const float* dt, float* y, float* dy, float* tape,
                                 float* workspace) {
  const int64_t k = s.frequencies, first_tangent = rows - tangent_rows;
  const IsaKernels& isa = active();
  const EmbeddingTape of = embedding_tape(s, rows, tape ? tape : workspace);
  const Scratch work = scratch(s, tangent_rows, workspace + (tape ? 0 : embedding_tape_size(s, rows)));
  const float* const w = frequencies(s, params);

  for_rows(s, rows, [&](int64_t i) {
    float *const cosine = of.features + i * 2 * k, *const sine = cosine + k;
    for (int64_t j = 0; j < k; ++j) sine[j] = (two_pi * t[i]) * w[j];
    isa.sincos(k, sine, sine, cosine);
    if (i < first_tangent) return;
    float* const d = work.dfeatures + (i - first_tangent) * 2 * k;
    for (int64_t j = 0; j < k; ++j) {
      const float angle = (two_pi * dt[i - first_tangent]) * w[j];
      d[j] = -sine[j] * angle;
      d[k + j] = cosine[j] * angle;
    }
  });
  dense(rows, 2 * k, s.hidden, of.features, params + s.weight0, params + s.bias0, of.sum, work.product);
  activation(s.activation, rows * s.hidden, of.sum, of.activated);
  dense(rows, s.hidden, s.width, of.activated, params + s.weight1, params + s.bias1, y, work.product);
  if (tangent_rows == 0) return;
  dense(tangent_rows, 2 * k, s.hidden, work.dfeatures, params + s.weight0, nullptr, work.dhidden, work.product);
  times_slope(s, tangent_rows, of.sum + first_tangent * s.hidden, work.slope, work.dhidden);
  dense(tangent_rows, s.hidden, s.width, work.dhidden, params + s.weight1, nullptr, dy, work.product);
}

void embedding_backward(const EmbeddingShape& s, const float* params, int64_t rows, const float* t, const float* tape,
                        const float* dy, float* dparams, float* workspace) {
  const int64_t k = s.frequencies;
  const IsaKernels& isa = active();
  const EmbeddingTape of = embedding_tape(s, rows, const_cast<float*>(tape));
  const Scratch work = scratch(s, rows, workspace);

  product_tn(s.hidden, s.width, rows, of.activated, dy, dparams + s.weight1, true, work.product);
  isa.sum_column(rows, s.width, 0, s.width, dy, dparams + s.bias1, true);
  product_nt(rows, s.hidden, s.width, dy, params + s.weight1, work.dhidden, false, work.product);
  times_slope(s, rows, of.sum, work.slope, work.dhidden);
  product_tn(2 * k, s.hidden, rows, of.features, work.dhidden, dparams + s.weight0, true, work.product);
  isa.sum_column(rows, s.hidden, 0, s.hidden, work.dhidden, dparams + s.bias0, true);
  if (s.fixed) return;
  product_nt(rows, 2 * k, s.hidden, work.dhidden, params + s.weight0, work.dfeatures, false, work.product);
  for (int64_t i = 0; i < rows; ++i) {
    const float *const cosine = of.features + i * 2 * k, *const sine = cosine + k;
    const float* const d = work.dfeatures + i * 2 * k;
    for (int64_t j = 0; j < k; ++j)
      dparams[s.frequency + j] += (cosine[j] * d[k + j] - sine[j] * d[j]) * (two_pi * t[i]);
  }
}

}  // namespace meander::kernels
