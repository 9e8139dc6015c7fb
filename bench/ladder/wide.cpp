#include <algorithm>
#include <cstring>

#include "bench/ladder/loops.h"

namespace meander::ladder {
namespace {

#if defined(__AVX512F__)
constexpr int W = 16, most_rows = 14, tile_vectors = 2;   // 28 of 32 registers hold sums
#elif defined(__AVX__)
constexpr int W = 8, most_rows = 6, tile_vectors = 2;     // 12 of 16
#else
constexpr int W = 4, most_rows = 6, tile_vectors = 4;
#endif
constexpr int panel = tile_vectors * W;
typedef float V __attribute__((vector_size(4 * W)));
typedef int32_t I __attribute__((vector_size(4 * W)));

inline V load(const float* p) { V v; std::memcpy(&v, p, sizeof v); return v; }
inline void store(float* p, V v) { std::memcpy(p, &v, sizeof v); }

// z = b + x W for `rows` rows and `vectors` vectors of columns: the sums stay in registers over all of k. w: the first
// of these columns, its next row w_step further on.
template <int rows, int vectors>
inline void tile(const Layer& l, const float* x, const float* w, int64_t w_step, const float* bias, float* z) {
  V sum[rows][vectors];
#pragma GCC unroll 14
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < vectors; ++j) sum[i][j] = load(bias + j * W);
  for (int64_t k = 0; k < l.in; ++k, w += w_step) {
    V column[vectors];
#pragma GCC unroll 4
    for (int j = 0; j < vectors; ++j) column[j] = load(w + j * W);
#pragma GCC unroll 14
    for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < vectors; ++j) sum[i][j] += x[i * l.in + k] * column[j];
  }
#pragma GCC unroll 14
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < vectors; ++j) store(z + i * l.out + j * W, sum[i][j]);
}

// All columns of `rows` rows from `first` on, by tiles; what is left over by tiles of fewer rows.
template <int rows>
void rows_by_tiles(const Layer& l, int64_t first, int64_t last, const float* w, int64_t w_step, int64_t w_panel,
                   float* z) {
  for (; first + rows <= last; first += rows)
    for (int64_t j = 0; j < l.out; j += panel)
      tile<rows, tile_vectors>(l, l.x + first * l.in, w + j / panel * w_panel, w_step, l.bias + j,
                               z + first * l.out + j);
  if constexpr (rows > 1)
    if (first < last) rows_by_tiles<rows / 2>(l, first, last, w, w_step, w_panel, z);
}

// exp(x) = 2^n exp(r), r within half a ln 2: n goes into the exponent's bits, exp(r) is a polynomial (Taylor's to r^6,
// off by 1e-7 at its ends). x is held within the range of finite results.
inline V exponential(V x) {
  x = x < -87.0f ? V{} - 87.0f : x > 88.0f ? V{} + 88.0f : x;
  const V half = x < 0.0f ? V{} - 0.5f : V{} + 0.5f;
  const I n = __builtin_convertvector(x * 1.44269504f + half, I);
  const V r = x - __builtin_convertvector(n, V) * 0.69314718f;
  V p = V{} + 1.0f / 720;
  for (const float c : {1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f}) p = p * r + c;
  const I bits = (n + 127) << 23;
  V power;
  std::memcpy(&power, &bits, sizeof power);
  return p * power;
}

inline float sum_of(V v) {
  float sum = 0;
  for (int j = 0; j < W; ++j) sum += v[j];
  return sum;
}

// GELU as v / (1 + exp(-2 u)), which is the same as with tanh(u): one exponential, one quotient.
void finish(const Layer& l, int64_t rows, const float* z, float* y) {
  for (int64_t i = 0; i < rows; ++i, z += l.out, y += l.out) {
    V sum{}, squares{};
    for (int64_t j = 0; j < l.out; j += W) sum += load(z + j);
    const float mean = sum_of(sum) / float(l.out);
    for (int64_t j = 0; j < l.out; j += W) squares += (load(z + j) - mean) * (load(z + j) - mean);
    const float rstd = 1 / std::sqrt(sum_of(squares) / float(l.out) + eps);
    for (int64_t j = 0; j < l.out; j += W) {
      const V v = (load(z + j) - mean) * rstd * load(l.scale + j) + load(l.shift + j);
      store(y + j, v / (1.0f + exponential(-1.59576912f * (v + 0.044715f * v * v * v))));
    }
  }
}

}  // namespace

void wide_vectors(const Layer& l) {
  multiply_by_rows(l, l.z);
  finish_plainly(l, l.rows, l.z, l.y);
}

void own_exponential(const Layer& l) {
  multiply_by_rows(l, l.z);
  finish(l, l.rows, l.z, l.y);
}

void small_tile(const Layer& l) {
  rows_by_tiles<2>(l, 0, l.rows, l.weight, l.out, panel, l.z);
  finish(l, l.rows, l.z, l.y);
}

void full_tile(const Layer& l) {
  rows_by_tiles<most_rows>(l, 0, l.rows, l.weight, l.out, panel, l.z);
  finish(l, l.rows, l.z, l.y);
}

void pack_weights(const Layer& l, float* packed) {
  for (int64_t j = 0; j < l.out; j += panel)
    for (int64_t k = 0; k < l.in; ++k)
      std::memcpy(packed + j * l.in + k * panel, l.weight + k * l.out + j, panel * sizeof(float));
}

// Of panels: the rows of `panel` columns one after the other, in the order in which a tile reads them.
void packed_weights(const Layer& l) {
  rows_by_tiles<most_rows>(l, 0, l.rows, l.packed, panel, panel * l.in, l.z);
  finish(l, l.rows, l.z, l.y);
}

// Norm and activation follow the product of a few rows at once, which are in the first cache then; y itself holds z.
void while_in_cache(const Layer& l) {
  for (int64_t i = 0; i < l.rows; i += most_rows) {
    const int64_t last = std::min<int64_t>(i + most_rows, l.rows);
    rows_by_tiles<most_rows>(l, i, last, l.packed, panel, panel * l.in, l.y);
    finish(l, last - i, l.y + i * l.out, l.y + i * l.out);
  }
}

}  // namespace meander::ladder
