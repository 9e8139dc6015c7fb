// One native vector of floats and what the instruction sets do not share. Only for isa_*.cpp, which include it
// inside their anonymous namespaces: the same function compiled for two instruction sets must never share a symbol.
//
// V holds W floats. Everything element by element is written over V; what depends on lanes (sums over a row) always
// runs in 16 of them, that is in `groups` vectors.

typedef float V __attribute__((vector_size(MEANDER_VECTOR_BYTES)));
typedef int32_t I __attribute__((vector_size(MEANDER_VECTOR_BYTES)));
typedef uint32_t U __attribute__((vector_size(MEANDER_VECTOR_BYTES)));
constexpr int W = MEANDER_VECTOR_BYTES / 4;
constexpr int groups = 16 / W;

// minimum and maximum give the second where either is NaN: a < b ? a : b.
#if defined(__AVX512F__)
static inline V broadcast(float x) { return _mm512_set1_ps(x); }
static inline V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
static inline V sqrt(V a) { return _mm512_sqrt_ps(a); }
static inline V minimum(V a, V b) { return _mm512_min_ps(a, b); }
static inline V maximum(V a, V b) { return _mm512_max_ps(a, b); }
static inline V load_first(const float* p, int64_t n) {
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1u), p);
}
static inline void store_first(float* p, V v, int64_t n) {
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1u), v);
}
#elif defined(__AVX2__)
static inline V broadcast(float x) { return _mm256_set1_ps(x); }
static inline V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
static inline V sqrt(V a) { return _mm256_sqrt_ps(a); }
static inline V minimum(V a, V b) { return _mm256_min_ps(a, b); }
static inline V maximum(V a, V b) { return _mm256_max_ps(a, b); }
static inline __m256i first_mask(int64_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline V load_first(const float* p, int64_t n) { return _mm256_maskload_ps(p, first_mask(n)); }
static inline void store_first(float* p, V v, int64_t n) { _mm256_maskstore_ps(p, first_mask(n), v); }
#elif defined(__ARM_NEON)
static inline V broadcast(float x) { return (V)vdupq_n_f32(x); }
static inline V fma(V a, V b, V c) { return (V)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b); }
static inline V sqrt(V a) { return (V)vsqrtq_f32((float32x4_t)a); }
static inline V minimum(V a, V b) { return a < b ? a : b; }
static inline V maximum(V a, V b) { return a > b ? a : b; }
static inline V load_first(const float* p, int64_t n) {
  V v = {};
  for (int64_t j = 0; j < n; ++j) v[j] = p[j];
  return v;
}
static inline void store_first(float* p, V v, int64_t n) {
  for (int64_t j = 0; j < n; ++j) p[j] = v[j];
}
#endif

// High words of the products of x and m, unsigned 32 x 32 bits.
static inline I multiply_high(I x, uint32_t m) {
#if defined(__AVX512F__)
  const __m512i a = (__m512i)x, b = _mm512_set1_epi32(static_cast<int>(m));
  const __m512i even = _mm512_mul_epu32(a, b), odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), b);
  return (I)_mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd);
#elif defined(__AVX2__)
  const __m256i a = (__m256i)x, b = _mm256_set1_epi32(static_cast<int>(m));
  const __m256i even = _mm256_mul_epu32(a, b), odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), b);
  return (I)_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
#else
  const uint32x4_t a = (uint32x4_t)x;
  const uint32x4_t low = (uint32x4_t)vmull_n_u32(vget_low_u32(a), m),
                   high = (uint32x4_t)vmull_n_u32(vget_high_u32(a), m);
  return (I)vuzp2q_u32(low, high);
#endif
}

static inline I low_product(I x, uint32_t m) {
  return (I)((U)x * m);
}

static inline V load(const float* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
static inline void store(float* p, V v) { __builtin_memcpy(p, &v, sizeof v); }
static inline I broadcast_int(int32_t x) { return I{} + x; }
static inline V to_float(I x) { return __builtin_convertvector(x, V); }
static inline I as_int(V v) { return (I)v; }
static inline V as_float(I v) { return (V)v; }
static inline I wrapping_add(I a, I b) { return (I)((U)a + (U)b); }  // a float's bits may be anything
static inline V absolute(V a) { return as_float(as_int(a) & 0x7fffffff); }
static inline V copy_sign(V magnitude, V sign) {
  return as_float((as_int(magnitude) & 0x7fffffff) | (as_int(sign) & static_cast<int32_t>(0x80000000)));
}

// How many floats of a vector count: all of them, known when compiling, or the first n.
struct All {};
static inline V load(const float* p, All) { return load(p); }
static inline V load(const float* p, int64_t n) { return load_first(p, n); }
static inline void store(float* p, V v, All) { store(p, v); }
static inline void store(float* p, V v, int64_t n) { store_first(p, v, n); }
// v in the lanes that count, else another value
static inline V keep(V v, All, V = V{}) { return v; }
static inline V keep(V v, int64_t n, V otherwise = V{}) {
  I lane;
  for (int j = 0; j < W; ++j) lane[j] = j;
  return lane < static_cast<int32_t>(n) ? v : otherwise;
}

// f(i, count) for the vectors that cover n floats, from float i on.
template <class F>
static inline __attribute__((always_inline)) void for_vectors(int64_t n, F&& f) {
  int64_t i = 0;
  for (; i + W <= n; i += W) f(i, All{});
  if (i < n) f(i, n - i);
}

// A row's 16 lanes: lane j takes columns j, 16 + j, ...
struct Lanes {
  V part[groups];
};
// f(group, column, count) for the vectors of a row, in order of the columns.
template <class F>
static inline __attribute__((always_inline)) void for_lanes(int64_t cols, F&& f) {
  int64_t j = 0;
  for (; j + 16 <= cols; j += 16) {
    MEANDER_UNROLL(4)
    for (int g = 0; g < groups; ++g) f(g, j + g * W, All{});
  }
  MEANDER_UNROLL(4)
  for (int g = 0; g < groups; ++g) {
    const int64_t left = cols - j - g * W;
    if (left >= W) f(g, j + g * W, All{});
    else if (left > 0) f(g, j + g * W, left);
  }
}
static inline Lanes all_lanes(float x) {
  Lanes lanes;
  MEANDER_UNROLL(4)
  for (int g = 0; g < groups; ++g) lanes.part[g] = broadcast(x);
  return lanes;
}
// The fixed tree: j with j + 8, then + 4, + 2, + 1.
template <class F>
static inline __attribute__((always_inline)) float fold(const Lanes& lanes, F&& f) {
  float s[16];
  MEANDER_UNROLL(4)
  for (int g = 0; g < groups; ++g) store(s + g * W, lanes.part[g]);
  MEANDER_UNROLL(4)
  for (int half = 8; half >= 1; half /= 2)
    for (int j = 0; j < half; ++j) s[j] = f(s[j], s[j + half]);
  return s[0];
}
static inline float sum(const Lanes& lanes) {
#if defined(__AVX512F__)
  const __m512 v = lanes.part[0];
  const __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
#elif defined(__AVX2__)
  const __m256 a = _mm256_add_ps(lanes.part[0], lanes.part[1]);
#endif
#if defined(__AVX2__)
  const __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
#else
  return fold(lanes, [](float a, float b) { return a + b; });
#endif
}
