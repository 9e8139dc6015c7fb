// A block of rows through all layers of a network while it stays in cache. Included by isa_kernels.cpp only.

static inline int64_t buffer_stride(const MlpShape& shape) {
  int64_t widest = 0;
  for (int l = 1; l <= shape.layers; ++l) widest = shape.width[l] > widest ? shape.width[l] : widest;
  return widest <= depth ? a_row : padded(widest) + 16;
}

// Rows [first, first + rows) and, with `tangents`, as many rows of tangents below them in the same buffer.
template <bool tangents>
static void chain_block(const MlpRun& run, int64_t first, int64_t rows, float* here, float* there, int64_t stride) {
  const MlpShape& shape = *run.shape;
  const int64_t tangent_first = first - (run.rows - run.tangent_rows);
  float* tape = run.tape;
  for (int l = 0; l < shape.layers; ++l) {
    const bool last = l + 1 == shape.layers;
    const int64_t in = l ? shape.width[l] : run.x_cols, out = shape.width[l + 1];
    const float* const bias = run.params + shape.bias[l];
    const float* const a = l ? here : run.x + first * in;
    const int64_t a_stride = l ? stride : in;
    float* const c = last ? run.y + first * out : there;
    const int64_t c_stride = last ? out : stride;
    if (l == 0 && run.start) {
      for (int64_t i = 0; i < rows; ++i) {
        const float* const start = run.start + (first + i) / run.group * out;
        for_vectors(out, [&](int64_t j, auto count) { store(c + i * c_stride + j, load(start + j, count), count); });
      }
      product_rows(rows, out, in, a, a_stride, run.weight[l], c, c_stride, c, c_stride);
    } else {
      product_rows(rows, out, in, a, a_stride, run.weight[l], bias, 0, c, c_stride);
    }
    float* const dc = tangents && last ? run.dy + tangent_first * out : there + rows * stride;
    if constexpr (tangents) {
      const float* const da = l ? here + rows * stride : run.dx + tangent_first * in;
      product_rows(rows, out, in, da, a_stride, run.weight[l], nullptr, 0, dc, c_stride);
    }
    if (last) return;
    float* const kept = tape ? tape + first * out : nullptr;
    float* const rstd = tape ? tape + run.rows * out + first : nullptr;
    for_rows(shape, run.params, l, rows, c, stride,
             [&]<Activation activation, Norm norm>(const Finish& layer, int64_t i, const Moments& moments) {
               float* const row = c + i * stride;
               float* const kept_row = tape ? kept + i * out : nullptr;
               float* const rstd_row = tape ? rstd + i : nullptr;
               float* const mean_row = tape ? rstd + run.rows + i : nullptr;
               if constexpr (tangents)
                 finish_row_and_tangent<activation, norm>(layer, moments, row, dc + i * stride, kept_row, rstd_row,
                                                          mean_row);
               else
                 finish_row<activation, norm>(layer, moments, row, kept_row, rstd_row, mean_row,
                                              [&](int64_t j, V v, auto count) { store(row + j, v, count); });
             });
    if (tape) tape += mlp_tape_layer(out, run.rows);
    float* const swap = here;
    here = there;
    there = swap;
  }
}

template <bool tangents>
static void chain(const MlpRun& run, int64_t first, int64_t last) {
  const int64_t most = tangents ? block_rows / 2 : block_rows;
  const int64_t rows = smaller(most, last - first), stride = buffer_stride(*run.shape);
  const int64_t floats = rows * (tangents ? 2 : 1) * stride;
  char* const memory = static_cast<char*>(__builtin_alloca(static_cast<uint64_t>(floats) * 2 * sizeof(float) + 64));
  float* const buffer = reinterpret_cast<float*>(memory + (64 - reinterpret_cast<uintptr_t>(memory) % 64) % 64);
  for (; first < last; first += rows)
    chain_block<tangents>(run, first, smaller(rows, last - first), buffer, buffer + floats, stride);
}

static void mlp_values(const MlpRun& run, int64_t first, int64_t last) { chain<false>(run, first, last); }
static void mlp_values_and_tangents(const MlpRun& run, int64_t first, int64_t last) { chain<true>(run, first, last); }
