// Mean and deviation of rows. Included inside anonymous namespaces only.

// Mean and 1 / sqrt(var + eps) of `rows` rows at once: one row alone would wait for its own sum at every step.
struct Moments {
  float mean, rstd;
};
template <int rows>
static inline void row_moments(Size cols, float eps, const float* x, Size stride, Moments* moments) {
  Lanes s[rows];
  MEANDER_UNROLL(8)
  for (int i = 0; i < rows; ++i) s[i] = all_lanes(0.0f);
  for_lanes(cols, [&](int g, Size j, auto count) {
    MEANDER_UNROLL(8)
    for (int i = 0; i < rows; ++i) s[i].part[g] += load(x + i * stride + j, count);
  });
  MEANDER_UNROLL(8)
  for (int i = 0; i < rows; ++i) {
    moments[i].mean = sum(s[i]) / static_cast<float>(cols);
    s[i] = all_lanes(0.0f);
  }
  for_lanes(cols, [&](int g, Size j, auto count) {
    MEANDER_UNROLL(8)
    for (int i = 0; i < rows; ++i) {
      const V d = keep(load(x + i * stride + j, count) - moments[i].mean, count);
      s[i].part[g] = fma(d, d, s[i].part[g]);
    }
  });
  MEANDER_UNROLL(8)
  for (int i = 0; i < rows; ++i) {
    const float variance = sum(s[i]) / static_cast<float>(cols);
    moments[i].rstd = first_of(1.0f / sqrt(broadcast(variance + eps)));
  }
}
static inline Moments row_moments(Size cols, float eps, const float* x) {
  Moments moments;
  row_moments<1>(cols, eps, x, 0, &moments);
  return moments;
}
#if MEANDER_VECTOR_BYTES == 64 || defined(__ARM_NEON)
constexpr int rows_together = 4;  // as the registers allow
#else
constexpr int rows_together = W == 8 ? 2 : 1;
#endif
// f(row, moments) for each row.
template <class F>
static inline void with_moments(Size rows, Size cols, float eps, const float* x, Size stride, F&& f) {
  Moments moments[rows_together];
  Size i = 0;
  for (; i + rows_together <= rows; i += rows_together) {
    row_moments<rows_together>(cols, eps, x + i * stride, stride, moments);
    for (int r = 0; r < rows_together; ++r) f(i + r, moments[r]);
  }
  for (; i < rows; ++i) f(i, row_moments(cols, eps, x + i * stride));
}

// y = (x - mean) rstd scale + shift, rows `stride` apart; may be in place. normalised, rstd: or null, of rows `cols`
// apart.
static inline void layer_norm(Size rows, Size cols, float eps, const float* x, const float* scale, const float* shift,
                              float* y, Size stride, float* normalised, float* rstd) {
  with_moments(rows, cols, eps, x, stride, [&](Size i, const Moments& moments) {
    for_lanes(cols, [&](int, Size j, auto count) {
      const V n = (load(x + i * stride + j, count) - moments.mean) * moments.rstd;
      if (normalised) store(normalised + i * cols + j, n, count);
      store(y + i * stride + j, fma(n, load(scale + j, count), load(shift + j, count)), count);
    });
    if (rstd) rstd[i] = moments.rstd;
  });
}
