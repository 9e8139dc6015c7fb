// The mean of a softmax distribution over given values, row by row. Included inside anonymous namespaces only.

static inline float row_max(Size cols, const float* x) {
  Lanes m = all_lanes(-__builtin_inff());
  for_lanes(cols, [&](int g, Size j, auto count) {
    m.part[g] = maximum(keep(load(x + j, count), count, m.part[g]), m.part[g]);
  });
  return fold(m, [](float a, float b) { return a > b ? a : b; });
}

static void softmax_expectation(Size rows, Size cols, const float* x, const float* value, float* y) {
  for (Size i = 0; i < rows; ++i, x += cols) {
    const float largest = row_max(cols, x);
    Lanes weight = all_lanes(0.0f), weighted = all_lanes(0.0f);
    for_lanes(cols, [&](int g, Size j, auto count) {
      const V e = keep(exp(load(x + j, count) - largest), count);
      weight.part[g] += e;
      weighted.part[g] = fma(e, load(value + j, count), weighted.part[g]);
    });
    y[i] = sum(weighted) / sum(weight);
  }
}
