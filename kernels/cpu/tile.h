// One register tile of a matrix product. Included inside anonymous namespaces only.

// Where a tile finds A, one number of each of its rows for each k: row i lies i `stride` further on.
template <int stride>
struct RowsApart {
  const float* at;
  Size step;
  float row(int i) const { return at[i * stride]; }
  void advance() { at += step; }
};
// Where it finds B, a row of vectors for each k. far: fetched well ahead, for where rows are few memory decides.
template <bool far>
struct Row {
  const float* at;
  Size step;
  V vector(int j) const { return load(at + j * W); }
  void prefetch(int j) const {
    if constexpr (far) __builtin_prefetch(at + 8 * step + j * W);
  }
  void advance() { at += step; }
};

// c = init + A B, of `rows` rows by `vectors` vectors of columns: each number one chain of fma over k in order.
template <int rows, int vectors, class A, class B>
static inline __attribute__((always_inline)) void multiply(Size k, A a, B b, const float* init, Size init_stride,
                                                           float* c, Size c_stride) {
  V s[rows][vectors];
  MEANDER_UNROLL(16)
  for (int i = 0; i < rows; ++i)
    MEANDER_UNROLL(16)
    for (int j = 0; j < vectors; ++j) s[i][j] = load(init + i * init_stride + j * W);
  for (; k > 0; --k) {
    V bk[vectors];
    MEANDER_UNROLL(16)
    for (int j = 0; j < vectors; ++j) {
      bk[j] = b.vector(j);
      b.prefetch(j);
    }
    MEANDER_UNROLL(16)
    for (int i = 0; i < rows; ++i) {
      const V aik = broadcast(a.row(i));
      MEANDER_UNROLL(16)
      for (int j = 0; j < vectors; ++j) s[i][j] = fma(aik, bk[j], s[i][j]);
    }
    a.advance();
    b.advance();
  }
  MEANDER_UNROLL(16)
  for (int i = 0; i < rows; ++i)
    MEANDER_UNROLL(16)
    for (int j = 0; j < vectors; ++j) store(c + i * c_stride + j * W, s[i][j]);
}
