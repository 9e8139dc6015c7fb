// Mean and deviation of rows. Included by isa_arrays.cpp and isa_layers.cpp, inside their anonymous namespaces.

// Mean and 1 / sqrt(var + eps) of `rows` rows at once: one row alone would wait for its own sum at every step.
struct Moments {
  float mean, rstd;
};
template <int rows>
static inline void row_moments(int64_t cols, float eps, const float* x, int64_t stride, Moments* moments) {
  Lanes s[rows];
  MEANDER_UNROLL(8)
  for (int i = 0; i < rows; ++i) s[i] = all_lanes(0.0f);
  for_lanes(cols, [&](int g, int64_t j, auto count) {
    MEANDER_UNROLL(8)
    for (int i = 0; i < rows; ++i) s[i].part[g] += load(x + i * stride + j, count);
  });
  MEANDER_UNROLL(8)
  for (int i = 0; i < rows; ++i) {
    moments[i].mean = sum(s[i]) / static_cast<float>(cols);
    s[i] = all_lanes(0.0f);
  }
  for_lanes(cols, [&](int g, int64_t j, auto count) {
    MEANDER_UNROLL(8)
    for (int i = 0; i < rows; ++i) {
      const V d = keep(load(x + i * stride + j, count) - moments[i].mean, count);
      s[i].part[g] = fma(d, d, s[i].part[g]);
    }
  });
  MEANDER_UNROLL(8)
  for (int i = 0; i < rows; ++i) {
    const float variance = sum(s[i]) / static_cast<float>(cols);
    moments[i].rstd = (1.0f / sqrt(broadcast(variance + eps)))[0];
  }
}
static inline Moments row_moments(int64_t cols, float eps, const float* x) {
  Moments moments;
  row_moments<1>(cols, eps, x, 0, &moments);
  return moments;
}
constexpr int rows_together = W == 8 ? 2 : 4;  // as the registers allow
// f(row, moments) for each row.
template <class F>
static inline void with_moments(int64_t rows, int64_t cols, float eps, const float* x, int64_t stride, F&& f) {
  Moments moments[rows_together];
  int64_t i = 0;
  for (; i + rows_together <= rows; i += rows_together) {
    row_moments<rows_together>(cols, eps, x + i * stride, stride, moments);
    for (int r = 0; r < rows_together; ++r) f(i + r, moments[r]);
  }
  for (; i < rows; ++i) f(i, row_moments(cols, eps, x + i * stride));
}
