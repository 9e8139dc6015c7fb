// Operations on the rows of a matrix. Included by isa_arrays.cpp only.

static inline float row_sum(int64_t cols, const float* x) {
  Lanes s = all_lanes(0.0f);
  for_lanes(cols, [&](int g, int64_t j, auto count) { s.part[g] += load(x + j, count); });
  return sum(s);
}
static void sum_row(int64_t rows, int64_t cols, const float* x, float* y) {
  for (int64_t i = 0; i < rows; ++i) y[i] = row_sum(cols, x + i * cols);
}
// Columns [first, last) of all rows.
static void sum_column(int64_t rows, int64_t cols, int64_t first, int64_t last, const float* x, float* y,
                       bool accumulate) {
  for_vectors(last - first, [&](int64_t j, auto count) {
    V s = accumulate ? load(y + first + j, count) : V{};
    for (int64_t i = 0; i < rows; ++i) s += load(x + i * cols + first + j, count);
    store(y + first + j, s, count);
  });
}

// e = exp(x - max x) where e is not null; returns the sum.
static inline float row_exp_sum(int64_t cols, const float* x, float largest, float* e) {
  Lanes s = all_lanes(0.0f);
  for_lanes(cols, [&](int g, int64_t j, auto count) {
    const V v = exp(load(x + j, count) - largest);
    if (e) store(e + j, v, count);
    s.part[g] += keep(v, count);
  });
  return sum(s);
}
static void softmax(int64_t rows, int64_t cols, const float* x, float* y) {
  for (int64_t i = 0; i < rows; ++i, x += cols, y += cols) {
    const float total = row_exp_sum(cols, x, row_max(cols, x), y);
    for_lanes(cols, [&](int, int64_t j, auto count) { store(y + j, load(y + j, count) / total, count); });
  }
}
static void log_sum_exp(int64_t rows, int64_t cols, const float* x, float* y) {
  for (int64_t i = 0; i < rows; ++i, x += cols) {
    const float largest = row_max(cols, x);
    y[i] = largest + log(broadcast(row_exp_sum(cols, x, largest, nullptr)))[0];
  }
}
