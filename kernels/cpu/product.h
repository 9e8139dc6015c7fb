// Matrix products. Every output is one chain of fma over k in order, whatever the tile. Only for isa_products.cpp.
//
// A register tile is `tile_rows` rows by `tile_vectors` vectors of columns. B is read by panels of `panel` columns,
// either packed (k by k, a panel after the other, the last one padded with zeros to 16 or 32 columns) or, for few rows,
// where it lies. A is read from rows a constant stride apart, so that the broadcasts of a tile need one base register.

#if defined(__AVX512F__)
constexpr int tile_rows = 14, tile_vectors = 2;
#else
constexpr int tile_rows = 6, tile_vectors = 16 / W;
#endif
constexpr int panel = tile_vectors * W;
constexpr int depth = 512;                 // of A at a time; deeper products carry their sums through c
constexpr int a_row = depth + 16;          // the constant stride; no multiple of 4 KiB
constexpr int block_rows = 4 * tile_rows;  // rows that go through a panel together

static inline int64_t padded(int64_t n) { return (n + 15) / 16 * 16; }
static inline int64_t panels(int64_t n) { return (n + panel - 1) / panel; }
static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// c = init + A B for one tile. Row i of A is a + i row_stride; both move on by a step from k to k + 1.
template <int rows, int vectors, int row_stride>
static void tile(int64_t k, const float* a, int64_t a_step, const float* b, int64_t b_step, const float* init,
                 int64_t init_stride, float* c, int64_t c_stride) {
  multiply<rows, vectors>(k, RowsApart<row_stride>{a, a_step}, Row<(vectors > tile_vectors)>{b, b_step}, init,
                          init_stride, c, c_stride);
}

using Tile = void (*)(int64_t k, const float* a, int64_t a_step, const float* b, int64_t b_step, const float* init,
                      int64_t init_stride, float* c, int64_t c_stride);
template <int vectors, int row_stride>
struct Tiles {
#if defined(__AVX512F__)
  static constexpr Tile by_rows[] = {
      nullptr, tile<1, vectors, row_stride>, tile<2, vectors, row_stride>, tile<3, vectors, row_stride>,
      tile<4, vectors, row_stride>, tile<5, vectors, row_stride>, tile<6, vectors, row_stride>,
      tile<7, vectors, row_stride>, tile<8, vectors, row_stride>, tile<9, vectors, row_stride>,
      tile<10, vectors, row_stride>, tile<11, vectors, row_stride>, tile<12, vectors, row_stride>,
      tile<13, vectors, row_stride>, tile<14, vectors, row_stride>};
#else
  static constexpr Tile by_rows[] = {
      nullptr, tile<1, vectors, row_stride>, tile<2, vectors, row_stride>, tile<3, vectors, row_stride>,
      tile<4, vectors, row_stride>, tile<5, vectors, row_stride>, tile<6, vectors, row_stride>};
#endif
};

// Columns of panel p that exist, and the width it is padded to.
static inline int64_t panel_columns(int64_t n, int64_t p) { return smaller(panel, n - p * panel); }
static inline int64_t panel_width(int64_t n, int64_t p) { return padded(panel_columns(n, p)); }

// The floats of a vector that exist, n of them or all, then zeros.
static inline V load_at_most(const float* p, int64_t n) { return n >= W ? load(p) : n > 0 ? load_first(p, n) : V{}; }

// One tile of panel p, whose columns may be cut.
template <int row_stride>
static inline void panel_tile(int64_t rows, int64_t n, int64_t p, int64_t k, const float* a, int64_t a_step,
                              const float* b, int64_t b_step, const float* init, int64_t init_stride, float* c,
                              int64_t c_stride) {
  const int64_t columns = panel_columns(n, p);
  init += p * panel;
  c += p * panel;
  if (columns == panel) {
    Tiles<tile_vectors, row_stride>::by_rows[rows](k, a, a_step, b, b_step, init, init_stride, c, c_stride);
    return;
  }
  float cut[tile_rows * panel];
  const int64_t width = padded(columns);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < width; j += W)
      store(cut + i * panel + j, load_at_most(init + i * init_stride + j, columns - j));
  if (width == panel)
    Tiles<tile_vectors, row_stride>::by_rows[rows](k, a, a_step, b, b_step, cut, panel, cut, panel);
  else
    Tiles<16 / W, row_stride>::by_rows[rows](k, a, a_step, b, b_step, cut, panel, cut, panel);
  for (int64_t i = 0; i < rows; ++i)
    for_vectors(columns, [&](int64_t j, auto count) { store(c + i * c_stride + j, load(cut + i * panel + j), count); });
}

// One or two rows: a tile of the usual width would wait for its few sums at every step, so these are wider. Covers
// whole panels of a B that lies in rows, from panel 0 on; returns how many.
constexpr int most_sums = W == 16 ? 16 : 8;  // registers for sums
template <int rows>
static inline int64_t wide_tiles(int64_t n, int64_t k, const float* a, const float* b, int64_t b_step,
                                 const float* init, int64_t init_stride, float* c, int64_t c_stride) {
  constexpr int wide = most_sums / rows, half = wide / 2, quarter = wide / 4;
  int64_t j = 0;
  const auto cover = [&]<int vectors>() {
    for (; vectors >= tile_vectors && j + vectors * W <= n; j += vectors * W)
      tile<rows, vectors, a_row>(k, a, 1, b + j, b_step, init + j, init_stride, c + j, c_stride);
  };
  cover.template operator()<wide>();
  cover.template operator()<half>();
  cover.template operator()<quarter>();
  return j / panel;
}

// ---- packing --------------------------------------------------------------------------------------------------------
// Panel p of B [k, n] (rows `stride` apart) or of the transpose of B [n, k].
static void pack_panel(int64_t k, int64_t n, int64_t p, const float* b, int64_t stride, float* out) {
  const int64_t columns = panel_columns(n, p), width = panel_width(n, p);
  b += p * panel;
  for (int64_t i = 0; i < k; ++i, b += stride, out += width) {
    if (columns == panel) {
      for (int j = 0; j < tile_vectors; ++j) store(out + j * W, load(b + j * W));
    } else {
      for (int64_t j = 0; j < width; j += W) store(out + j, load_at_most(b + j, columns - j));
    }
  }
}
// to[j][i] = from[i][j] for four by four
static inline void transpose_4(const float* from, int64_t from_stride, float* to, int64_t to_stride) {
  typedef float Q __attribute__((vector_size(16)));
  Q row[4];
  for (int i = 0; i < 4; ++i) __builtin_memcpy(&row[i], from + i * from_stride, sizeof row[i]);
  const Q low01 = __builtin_shufflevector(row[0], row[1], 0, 4, 1, 5),
          low23 = __builtin_shufflevector(row[2], row[3], 0, 4, 1, 5);
  const Q high01 = __builtin_shufflevector(row[0], row[1], 2, 6, 3, 7),
          high23 = __builtin_shufflevector(row[2], row[3], 2, 6, 3, 7);
  const Q column[4] = {
      __builtin_shufflevector(low01, low23, 0, 1, 4, 5), __builtin_shufflevector(low01, low23, 2, 3, 6, 7),
      __builtin_shufflevector(high01, high23, 0, 1, 4, 5), __builtin_shufflevector(high01, high23, 2, 3, 6, 7)};
  for (int j = 0; j < 4; ++j) __builtin_memcpy(to + j * to_stride, &column[j], sizeof column[j]);
}
static void pack_panel_transposed(int64_t k, int64_t n, int64_t p, const float* b, int64_t stride, float* out) {
  const int64_t columns = panel_columns(n, p), width = panel_width(n, p);
  const int64_t square_columns = columns / 4 * 4, square_k = k / 4 * 4;
  b += p * panel * stride;
  for (int64_t j = 0; j < square_columns; j += 4)
    for (int64_t i = 0; i < square_k; i += 4) transpose_4(b + j * stride + i, stride, out + i * width + j, width);
  for (int64_t i = 0; i < k; ++i)
    for (int64_t j = i < square_k ? square_columns : 0; j < width; ++j)
      out[i * width + j] = j < columns ? b[j * stride + i] : 0.0f;
}
static void pack(int64_t k, int64_t n, int64_t first_panel, int64_t last_panel, const float* b, int64_t stride,
                 bool transposed, float* out) {
  for (int64_t p = first_panel; p < last_panel; ++p)
    (transposed ? pack_panel_transposed : pack_panel)(k, n, p, b, stride, out + (p - first_panel) * panel * k);
}

// ---- c [rows, n] = init + a [rows, k] B (init null: 0) --------------------------------------------------------------
// For a packed B of one column, as c' = init' + B' a': the usual tile would compute 15 columns of zeros beside it.
// `memory`: k panel floats.
static void product_column(int64_t rows, int64_t k, const float* a, int64_t a_stride, const float* b, const float* init,
                           int64_t init_stride, float* c, int64_t c_stride, float* memory) {
  for (int64_t p = 0; p < panels(rows); ++p) {
    float sums[panel];
    const int64_t first = p * panel, columns = panel_columns(rows, p);
    for (int64_t j = 0; j < columns; ++j) sums[j] = init[(first + j) * init_stride];
    pack_panel_transposed(k, rows, p, a, a_stride, memory);
    panel_tile<1>(1, columns, 0, k, b, padded(1), memory, padded(columns), sums, 0, sums, 0);
    for (int64_t j = 0; j < columns; ++j) c[(first + j) * c_stride] = sums[j];
  }
}

static void product_rows(int64_t rows, int64_t n, int64_t k, const float* a, int64_t a_stride, const IsaMatrix& b,
                         const float* init, int64_t init_stride, float* c, int64_t c_stride) {
  alignas(64) float copy[block_rows * a_row];
  alignas(64) static constexpr float zeros[a_row] = {};
  if (!init && n <= a_row) {
    init = zeros;
    init_stride = 0;
  } else if (!init) {  // the sums begin from zeros in c
    for (int64_t i = 0; i < rows; ++i)
      for_vectors(n, [&](int64_t j, auto count) { store(c + i * c_stride + j, V{}, count); });
    init = c;
    init_stride = c_stride;
  }
  if (n == 1 && rows >= 8 && k <= depth)
    return product_column(rows, k, a, a_stride, b.packed, init, init_stride, c, c_stride, copy);
  for (int64_t first = 0; first < rows; first += block_rows) {
    const int64_t height = smaller(block_rows, rows - first), tiles = (height + tile_rows - 1) / tile_rows;
    const float* start = init + first * init_stride;
    int64_t start_stride = init_stride;
    float* const to = c + first * c_stride;
    int64_t k0 = 0;
    do {
      const float* from = a + first * a_stride + k0;
      const int64_t deep = smaller(a_stride == a_row ? k : depth, k - k0);
      if (a_stride != a_row) {
        for (int64_t i = 0; i < height; ++i)
          for_vectors(
              deep, [&](int64_t j, auto count) { store(copy + i * a_row + j, load(from + i * a_stride + j, count)); });
        from = copy;
      }
      int64_t p = 0;
      if (b.plain && height <= 2) {
        const auto wide = height == 1 ? wide_tiles<1> : wide_tiles<2>;
        p = wide(n, deep, from, b.plain + k0 * b.plain_stride, b.plain_stride, start, start_stride, to, c_stride);
      }
      for (; p < panels(n); ++p) {
        const bool in_place = b.plain && panel_columns(n, p) == panel;
        const int64_t step = in_place ? b.plain_stride : panel_width(n, p);
        const float* bp = in_place  ? b.plain + k0 * step + p * panel
                          : b.plain ? b.packed + k0 * step
                                    : b.packed + p * panel * k + k0 * step;
        for (int64_t t = 0; t < tiles; ++t) {
          const int64_t begin = height * t / tiles, end = height * (t + 1) / tiles;
          panel_tile<a_row>(end - begin, n, p, deep, from + begin * a_row, 1, bp, step, start + begin * start_stride,
                            start_stride, to + begin * c_stride, c_stride);
        }
      }
      start = to;
      start_stride = c_stride;
      k0 += deep;
    } while (k0 < k);
  }
}

// ---- c [m, n] (+)= a^T b, a [k, m], b [k, n]: panels [first, last) of n ---------------------------------------------
static void product_tn(int64_t m, int64_t n, int64_t k, const float* a, const float* b, float* c, bool accumulate,
                       int64_t first_panel, int64_t last_panel) {
  constexpr int64_t chunk = 256;  // of k: the packed panel stays in L1
  alignas(64) float packed[chunk * panel];
  const int64_t tiles = (m + tile_rows - 1) / tile_rows;
  for (int64_t p = first_panel; p < last_panel; ++p) {
    if (!accumulate)
      for (int64_t i = 0; i < m; ++i)
        for (int64_t j = 0; j < panel_columns(n, p); ++j) c[i * n + p * panel + j] = 0.0f;
    for (int64_t k0 = 0; k0 < k; k0 += chunk) {
      const int64_t deep = smaller(chunk, k - k0);
      pack_panel(deep, n, p, b + k0 * n, n, packed);
      for (int64_t t = 0; t < tiles; ++t) {
        const int64_t begin = m * t / tiles, end = m * (t + 1) / tiles;
        panel_tile<1>(end - begin, n, p, deep, a + k0 * m + begin, m, packed, panel_width(n, p), c + begin * n, n,
                      c + begin * n, n);
      }
    }
  }
}
