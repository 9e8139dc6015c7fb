// Matrix products of bfloat16 numbers with float32 sums. Only for isa_products.cpp.
//
// Two neighbours along k lie in one 32-bit word, the first in its low half, and enter a sum one after the other, the
// high half first, each by one rounding: what AVX512_BF16's vdpbf16ps does, and what two fma do elsewhere (the product
// of two bfloat16 numbers is exact in float32). So all instruction sets give the same bits.

constexpr int pair_row = a_row / 2;  // words from a row of activations to the next

// B [k, n] by panels as for float32, but a word holds rows 2i (low) and 2i + 1 (high) of a column; an odd k ends in
// zeros.
static void pack_bfloat16(int64_t k, int64_t n, int64_t first_panel, int64_t last_panel, const float* b, int64_t stride,
                          uint32_t* out) {
  for (int64_t p = first_panel; p < last_panel; ++p) {
    const int64_t columns = panel_columns(n, p), width = panel_width(n, p);
    for (int64_t i = 0; i < k; i += 2, out += width) {
      const float* const low = b + i * stride + p * panel;
      for (int64_t j = 0; j < width; j += W) {
        const int64_t left = columns - j < W ? columns - j < 0 ? 0 : columns - j : W;
        const V first = load_first(low + j, left), second = i + 1 < k ? load_first(low + stride + j, left) : V{};
        const U word = bfloat16_bits(first) | bfloat16_bits(second) << 16;
        __builtin_memcpy(out + j, &word, sizeof word);
      }
    }
  }
}

// s + the two products of each lane's words.
static inline V add_pair_products(V s, I a, I b) {
#if defined(__AVX512BF16__)
  return _mm512_dpbf16_ps(s, (__m512bh)a, (__m512bh)b);
#else
  const int32_t high = static_cast<int32_t>(0xffff0000);
  s = fma(as_float(a & high), as_float(b & high), s);
  return fma(as_float((I)((U)a << 16)), as_float((I)((U)b << 16)), s);
#endif
}

// c = init + A B for one tile, `pairs` words deep; init is one row for all. A tile wider than a panel goes on in the
// next one, `next_panel` words further.
template <int rows, int vectors>
static void pair_tile(int64_t pairs, const uint32_t* a, const uint32_t* b, int64_t b_step, int64_t next_panel,
                      const float* init, float* c, int64_t c_stride) {
  V s[rows][vectors];
  MEANDER_UNROLL(16)
  for (int j = 0; j < vectors; ++j)
    MEANDER_UNROLL(16)
    for (int i = 0; i < rows; ++i) s[i][j] = load(init + j * W);
  for (; pairs > 0; --pairs) {
    I bk[vectors];
    MEANDER_UNROLL(16)
    for (int j = 0; j < vectors; ++j)
      __builtin_memcpy(&bk[j], b + j / tile_vectors * next_panel + j % tile_vectors * W, sizeof bk[j]);
    MEANDER_UNROLL(16)
    for (int i = 0; i < rows; ++i) {
      const I aik = broadcast_int(static_cast<int32_t>(a[i * pair_row]));
      MEANDER_UNROLL(16)
      for (int j = 0; j < vectors; ++j) s[i][j] = add_pair_products(s[i][j], aik, bk[j]);
    }
    a += 1;
    b += b_step;
  }
  MEANDER_UNROLL(16)
  for (int i = 0; i < rows; ++i)
    MEANDER_UNROLL(16)
    for (int j = 0; j < vectors; ++j) store(c + i * c_stride + j * W, s[i][j]);
}

using PairTile = void (*)(int64_t pairs, const uint32_t* a, const uint32_t* b, int64_t b_step, int64_t next_panel,
                          const float* init, float* c, int64_t c_stride);
template <int vectors>
struct PairTiles {
#if defined(__AVX512F__)
  static constexpr PairTile by_rows[] = {
      nullptr, pair_tile<1, vectors>, pair_tile<2, vectors>, pair_tile<3, vectors>, pair_tile<4, vectors>,
      pair_tile<5, vectors>, pair_tile<6, vectors>, pair_tile<7, vectors>, pair_tile<8, vectors>,
      pair_tile<9, vectors>, pair_tile<10, vectors>, pair_tile<11, vectors>, pair_tile<12, vectors>,
      pair_tile<13, vectors>, pair_tile<14, vectors>};
#else
  static constexpr PairTile by_rows[] = {
      nullptr, pair_tile<1, vectors>, pair_tile<2, vectors>, pair_tile<3, vectors>,
      pair_tile<4, vectors>, pair_tile<5, vectors>, pair_tile<6, vectors>};
#endif
};

// One or two rows, as wide_tiles in product.h: covers whole panels from panel 0 on and returns how many.
template <int rows>
static inline int64_t wide_pair_tiles(int64_t n, int64_t pairs, const uint32_t* a, const uint32_t* b,
                                      const float* bias, float* c, int64_t c_stride) {
  constexpr int wide = most_sums / rows, half = wide / 2;
  int64_t p = 0;
  const auto cover = [&]<int vectors>() {
    constexpr int64_t count = vectors / tile_vectors;
    for (; count > 1 && (p + count) * panel <= n; p += count)
      pair_tile<rows, vectors>(pairs, a, b + p * panel * pairs, panel, panel * pairs, bias + p * panel, c + p * panel,
                               c_stride);
  };
  cover.template operator()<wide>();
  cover.template operator()<half>();
  return p;
}

// c [rows, n] = bias + a B for up to block_rows rows of bfloat16 activations, pair_row words apart, k of them in a row.
static void product_bfloat16(int64_t rows, int64_t n, int64_t k, const uint32_t* a, const uint32_t* b,
                             const float* bias, float* c, int64_t c_stride) {
  const int64_t tiles = (rows + tile_rows - 1) / tile_rows, pairs = (k + 1) / 2;
  int64_t p = 0;
  if (rows <= 2) p = (rows == 1 ? wide_pair_tiles<1> : wide_pair_tiles<2>)(n, pairs, a, b, bias, c, c_stride);
  for (; p < panels(n); ++p) {
    const int64_t columns = panel_columns(n, p), width = panel_width(n, p);
    const uint32_t* const bp = b + p * panel * pairs;
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t begin = rows * t / tiles, height = rows * (t + 1) / tiles - begin;
      const uint32_t* const at = a + begin * pair_row;
      float* const to = c + begin * c_stride + p * panel;
      if (columns == panel) {
        PairTiles<tile_vectors>::by_rows[height](pairs, at, bp, width, 0, bias + p * panel, to, c_stride);
        continue;
      }
      float start[panel] = {}, cut[tile_rows * panel];
      for (int64_t j = 0; j < columns; ++j) start[j] = bias[p * panel + j];
      (width == panel ? PairTiles<tile_vectors>::by_rows : PairTiles<16 / W>::by_rows)[height](
          pairs, at, bp, width, 0, start, cut, panel);
      for (int64_t i = 0; i < height; ++i)
        for (int64_t j = 0; j < columns; ++j) to[i * c_stride + j] = cut[i * panel + j];
    }
  }
}
