// A block of rows through all layers of a network while it stays in cache. Included by isa_products.cpp only.

static inline int64_t buffer_stride(const MlpShape& shape) {
  int64_t widest = 0;
  for (int l = 1; l <= shape.layers; ++l) widest = shape.width[l] > widest ? shape.width[l] : widest;
  return widest <= depth ? a_row : padded(widest) + 16;
}

// The sums of layer l for rows [first, first + rows) of a call: c = start or bias + a W.
static inline void layer_sums(const MlpRun& run, int l, int64_t first, int64_t rows, const float* a, int64_t a_stride,
                              float* c, int64_t c_stride) {
  const int64_t in = l ? run.shape->width[l] : run.x_cols, out = run.shape->width[l + 1];
  const float* init = run.params + run.shape->bias[l];
  int64_t init_stride = 0;
  if (l == 0 && run.start) {
    for (int64_t i = 0; i < rows; ++i) {
      const float* const start = run.start + (first + i) / run.group * out;
      for_vectors(out, [&](int64_t j, auto count) { store(c + i * c_stride + j, load(start + j, count), count); });
    }
    init = c;
    init_stride = c_stride;
  }
  product_rows(rows, out, in, a, a_stride, run.weight[l], init, init_stride, c, c_stride);
}

// Rows [first, first + rows) through all layers, whose hidden sums take turns in two buffers with rows `stride` apart.
// after(l, a, c) follows each layer's sums c, of the inputs a; in a hidden layer it turns them into the layer's output.
template <class After>
static inline void for_layers(const MlpRun& run, int64_t first, int64_t rows, float* here, float* there, int64_t stride,
                              After&& after) {
  const MlpShape& shape = *run.shape;
  for (int l = 0; l < shape.layers; ++l) {
    const bool last = l + 1 == shape.layers;
    const int64_t out = shape.width[l + 1];
    float* const c = last ? run.y + first * out : there;
    layer_sums(run, l, first, rows, l ? here : run.x + first * run.x_cols, l ? stride : run.x_cols, c,
               last ? out : stride);
    after(l, here, c);
    there = here;
    here = c;
  }
}

// Rows [first, first + rows) and, with `tangents`, the rows of their tangents below them in the same buffer.
template <bool tangents>
static void chain_block(const MlpRun& run, int64_t first, int64_t rows, float* here, float* there, int64_t stride) {
  const MlpShape& shape = *run.shape;
  const int64_t tangent_first = first - (run.rows - run.tangent_rows), n = run.directions;
  float* tape = run.tape;
  for_layers(run, first, rows, here, there, stride, [&](int l, const float* a, float* c) {
    const bool last = l + 1 == shape.layers;
    const int64_t out = shape.width[l + 1], c_stride = last ? out : stride;
    float* const dc = tangents && last ? run.dy + tangent_first * n * out : c + rows * stride;
    if constexpr (tangents) {
      if (l) product_rows(rows * n, out, shape.width[l], a + rows * stride, stride, run.weight[l], nullptr, 0, dc,
                          c_stride);
      else product_rows(rows * n, out, run.dx_cols, run.dx + tangent_first * n * run.dx_cols, run.dx_cols,
                        run.dx_weight, nullptr, 0, dc, c_stride);
    }
    if (last) return;
    float* const rstd = tape ? tape + run.rows * out + first : nullptr;
    const MlpTape rows_of_tape = tape ? MlpTape{tape + first * out, rstd, rstd + run.rows} : MlpTape{};
    if constexpr (tangents)
      finish_rows_and_tangents(shape, run.params, l, rows, c, n, dc, stride, rows_of_tape);
    else
      finish_rows(shape, run.params, l, rows, c, stride, rows_of_tape);
    if (tape) tape += mlp_tape_layer(out, run.rows);
  });
}

// The first cache line in memory of 64 bytes more than needed.
static inline float* first_line(void* memory) {
  return reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(memory) + 63) / 64 * 64);
}

template <bool tangents>
static void chain(const MlpRun& run, int64_t first, int64_t last) {
  const int64_t each = tangents ? 1 + run.directions : 1, most = each < block_rows ? block_rows / each : 1;
  const int64_t rows = smaller(most, last - first), stride = buffer_stride(*run.shape);
  const int64_t floats = rows * each * stride;
  float* const buffer = first_line(__builtin_alloca(static_cast<uint64_t>(floats) * 2 * sizeof(float) + 64));
  for (; first < last; first += rows)
    chain_block<tangents>(run, first, smaller(rows, last - first), buffer, buffer + floats, stride);
}

// ---- values, and gradients of the one output by the inputs ----------------------------------------------------------
// What a block keeps of a hidden layer for the way back: slopes, normalised rows and their rstd.
static inline int64_t kept_size(int64_t width, int64_t rows) { return padded(rows * (2 * width + 1)); }
static inline KeptRows kept_rows(float* kept, int64_t width, int64_t rows) {
  return {kept, kept + rows * width, kept + 2 * rows * width};
}

// Forward through all layers and back to the inputs, both buffers and `kept` in cache.
static void gradient_block(const MlpRun& run, int64_t first, int64_t rows, float* here, float* there, float* kept,
                           int64_t stride) {
  const MlpShape& shape = *run.shape;
  for_layers(run, first, rows, here, there, stride, [&](int l, const float*, float* c) {
    if (l + 1 == shape.layers) return;
    const int64_t width = shape.width[l + 1];
    finish_rows_and_slopes(shape, run.params, l, rows, c, stride, kept_rows(kept, width, rows));
    kept += kept_size(width, rows);
  });
  const float one = 1;
  const float* dz = &one;  // cotangent of the layer's sums
  int64_t dz_stride = 0;
  for (int l = shape.layers - 1; l > 0; --l) {
    const int64_t width = shape.width[l];
    float* const d = there;
    product_rows(rows, width, shape.width[l + 1], dz, dz_stride, run.transposed[l], nullptr, 0, d, stride);
    kept -= kept_size(width, rows);
    pull_kept_rows(shape, run.params, l - 1, rows, kept_rows(kept, width, rows), d, stride);
    dz = d;
    dz_stride = stride;
    there = here;
    here = d;
  }
  product_rows(rows, run.x_cols, shape.width[1], dz, dz_stride, run.transposed[0], nullptr, 0,
               run.gradient + first * run.x_cols, run.x_cols);
}

static void mlp_values_and_gradients(const MlpRun& run, int64_t first, int64_t last) {
  constexpr int64_t most_floats = 1 << 18;  // on the stack: very wide networks go in blocks of fewer rows
  const MlpShape& shape = *run.shape;
  const int64_t stride = buffer_stride(shape);
  int64_t row_floats = 2 * stride;
  for (int l = 1; l < shape.layers; ++l) row_floats += 2 * shape.width[l] + 1;
  const int64_t most = smaller(block_rows, 1 + most_floats / row_floats), rows = smaller(most, last - first);
  const int64_t floats = rows * row_floats + 16 * MlpShape::max_layers;
  float* const buffer = first_line(__builtin_alloca(static_cast<uint64_t>(floats) * sizeof(float) + 64));
  for (; first < last; first += rows)
    gradient_block(run, first, smaller(rows, last - first), buffer, buffer + rows * stride, buffer + 2 * rows * stride,
                   stride);
}

// ---- values alone, bfloat16 products in all layers but the first ----------------------------------------------------
static void chain_block_bfloat16(const MlpRun& run, int64_t first, int64_t rows, float* z, uint32_t* h) {
  const MlpShape& shape = *run.shape;
  for (int l = 0;; ++l) {
    const bool last = l + 1 == shape.layers;
    const int64_t out = shape.width[l + 1];
    float* const c = last ? run.y + first * out : z;
    const int64_t c_stride = last ? out : a_row;
    if (l == 0) layer_sums(run, 0, first, rows, run.x + first * run.x_cols, run.x_cols, c, c_stride);
    else product_bfloat16(rows, out, shape.width[l], h, run.half[l], run.params + shape.bias[l], c, c_stride);
    if (last) return;
    finish_rows_bfloat16(shape, run.params, l, rows, z, a_row, h, pair_row);
  }
}

static void mlp_values_bfloat16(const MlpRun& run, int64_t first, int64_t last) {
  alignas(64) float z[block_rows * a_row];
  alignas(64) uint32_t h[block_rows * pair_row];
  for (; first < last; first += block_rows)
    chain_block_bfloat16(run, first, smaller(block_rows, last - first), z, h);
}

static void mlp_values(const MlpRun& run, int64_t first, int64_t last) { chain<false>(run, first, last); }
static void mlp_values_and_tangents(const MlpRun& run, int64_t first, int64_t last) { chain<true>(run, first, last); }
