// One native vector of floats and what the instruction sets do not share, by MEANDER_VECTOR_BYTES: 64 AVX-512, 32 AVX2,
// 16 NEON or SSE2, 4 one number at a time. Included inside anonymous namespaces only (isa_*.cpp, deploy/policy.cpp):
// the same function compiled for two instruction sets must never share a symbol.
//
// V holds W floats. Everything element by element is written over V; what depends on lanes (sums over a row) always
// runs in 16 of them, that is in `groups` vectors.

constexpr int W = MEANDER_VECTOR_BYTES / 4;
constexpr int groups = 16 / W;
#if MEANDER_VECTOR_BYTES > 4
typedef float V __attribute__((vector_size(MEANDER_VECTOR_BYTES)));
typedef int32_t I __attribute__((vector_size(MEANDER_VECTOR_BYTES)));
typedef uint32_t U __attribute__((vector_size(MEANDER_VECTOR_BYTES)));
#else
typedef float V;
typedef int32_t I;
typedef uint32_t U;
#endif

// minimum and maximum give the second where either is NaN: a < b ? a : b.
#if MEANDER_VECTOR_BYTES == 64
static inline V broadcast(float x) { return _mm512_set1_ps(x); }
static inline V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
static inline V sqrt(V a) { return _mm512_sqrt_ps(a); }
static inline V minimum(V a, V b) { return _mm512_min_ps(a, b); }
static inline V maximum(V a, V b) { return _mm512_max_ps(a, b); }
static inline V load_first(const float* p, Size n) {
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1u), p);
}
static inline void store_first(float* p, V v, Size n) {
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1u), v);
}
#elif MEANDER_VECTOR_BYTES == 32
static inline V broadcast(float x) { return _mm256_set1_ps(x); }
static inline V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
static inline V sqrt(V a) { return _mm256_sqrt_ps(a); }
static inline V minimum(V a, V b) { return _mm256_min_ps(a, b); }
static inline V maximum(V a, V b) { return _mm256_max_ps(a, b); }
static inline __m256i first_mask(Size n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline V load_first(const float* p, Size n) { return _mm256_maskload_ps(p, first_mask(n)); }
static inline void store_first(float* p, V v, Size n) { _mm256_maskstore_ps(p, first_mask(n), v); }
#else
#if MEANDER_VECTOR_BYTES == 4
static inline V broadcast(float x) { return x; }
#if defined(__FP_FAST_FMAF)
static inline V fma(V a, V b, V c) { return __builtin_fmaf(a, b, c); }
#else
static inline V fma(V a, V b, V c) { return a * b + c; }  // rounded twice
#endif
static inline V sqrt(V a) { return square_root(a); }  // whoever has such vectors says how
#elif defined(__ARM_NEON)
static inline V broadcast(float x) { return (V)vdupq_n_f32(x); }
static inline V fma(V a, V b, V c) { return (V)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b); }
static inline V sqrt(V a) { return (V)vsqrtq_f32((float32x4_t)a); }
#else
static inline V broadcast(float x) { return _mm_set1_ps(x); }
static inline V fma(V a, V b, V c) { return a * b + c; }  // rounded twice: SSE2 has none
static inline V sqrt(V a) { return _mm_sqrt_ps(a); }
#endif
static inline V minimum(V a, V b) { return a < b ? a : b; }
static inline V maximum(V a, V b) { return a > b ? a : b; }
#if MEANDER_VECTOR_BYTES > 4
static inline V load_first(const float* p, Size n) {
  V v = {};
  for (Size j = 0; j < n; ++j) v[j] = p[j];
  return v;
}
static inline void store_first(float* p, V v, Size n) {
  for (Size j = 0; j < n; ++j) p[j] = v[j];
}
#endif
#endif

// High words of the products of x and m, unsigned 32 x 32 bits.
static inline I multiply_high(I x, uint32_t m) {
#if MEANDER_VECTOR_BYTES == 64
  const __m512i a = (__m512i)x, b = _mm512_set1_epi32(static_cast<int>(m));
  const __m512i even = _mm512_mul_epu32(a, b), odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), b);
  return (I)_mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd);
#elif MEANDER_VECTOR_BYTES == 32
  const __m256i a = (__m256i)x, b = _mm256_set1_epi32(static_cast<int>(m));
  const __m256i even = _mm256_mul_epu32(a, b), odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), b);
  return (I)_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
#elif MEANDER_VECTOR_BYTES == 4
  return static_cast<I>((uint64_t{static_cast<uint32_t>(x)} * m) >> 32);
#elif defined(__ARM_NEON)
  const uint32x4_t a = (uint32x4_t)x;
  const uint32x4_t low = (uint32x4_t)vmull_n_u32(vget_low_u32(a), m),
                   high = (uint32x4_t)vmull_n_u32(vget_high_u32(a), m);
  return (I)vuzp2q_u32(low, high);
#else
  const __m128i a = (__m128i)x, b = _mm_set1_epi32(static_cast<int>(m)), odd_words = _mm_set_epi32(-1, 0, -1, 0);
  const __m128i even = _mm_mul_epu32(a, b), odd = _mm_mul_epu32(_mm_srli_epi64(a, 32), b);
  return (I)_mm_or_si128(_mm_srli_epi64(even, 32), _mm_and_si128(odd, odd_words));
#endif
}

static inline I low_product(I x, uint32_t m) {
  return (I)((U)x * m);
}

#if MEANDER_VECTOR_BYTES > 4
static inline V load(const float* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
static inline void store(float* p, V v) { __builtin_memcpy(p, &v, sizeof v); }
#else
static inline V load(const float* p) { return *p; }  // straight into a register for floats
static inline void store(float* p, V v) { *p = v; }
#endif
static inline I broadcast_int(int32_t x) { return I{} + x; }
#if MEANDER_VECTOR_BYTES > 4
static inline V to_float(I x) { return __builtin_convertvector(x, V); }
static inline I as_int(V v) { return (I)v; }
static inline V as_float(I v) { return (V)v; }
static inline float first_of(V v) { return v[0]; }
#else
static inline V to_float(I x) { return static_cast<V>(x); }
static inline I as_int(V v) { return __builtin_bit_cast(I, v); }
static inline V as_float(I v) { return __builtin_bit_cast(V, v); }
static inline float first_of(V v) { return v; }
#endif
static inline I wrapping_add(I a, I b) { return (I)((U)a + (U)b); }  // a float's bits may be anything
static inline V absolute(V a) { return as_float(as_int(a) & 0x7fffffff); }
static inline V copy_sign(V magnitude, V sign) {
  return as_float((as_int(magnitude) & 0x7fffffff) | (as_int(sign) & static_cast<int32_t>(0x80000000)));
}

// How many floats of a vector count: all of them, known when compiling, or the first n.
struct All {};
static inline V load(const float* p, All) { return load(p); }
static inline void store(float* p, V v, All) { store(p, v); }
// v in the lanes that count, else another value
static inline V keep(V v, All, V = V{}) { return v; }
// 0, 1, ... in the lanes
static inline I lane_numbers() {
  int32_t lane[W];
  for (int j = 0; j < W; ++j) lane[j] = j;
  return __builtin_bit_cast(I, lane);
}
#if MEANDER_VECTOR_BYTES > 4
static inline V load(const float* p, Size n) { return load_first(p, n); }
static inline void store(float* p, V v, Size n) { store_first(p, v, n); }
static inline V keep(V v, Size n, V otherwise = V{}) {
  return lane_numbers() < static_cast<int32_t>(n) ? v : otherwise;
}
#endif

// f(i, count) for the vectors that cover n floats, from float i on.
template <class F>
static inline __attribute__((always_inline)) void for_vectors(Size n, F&& f) {
  Size i = 0;
  for (; i + W <= n; i += W) f(i, All{});
  if constexpr (W > 1) {
    if (i < n) f(i, n - i);
  }
}

// y = f(x)
template <class F>
static inline __attribute__((always_inline)) void map(Size n, const float* x, float* y, F&& f) {
  for_vectors(n, [&](Size i, auto count) { store(y + i, f(load(x + i, count)), count); });
}

// A row's 16 lanes: lane j takes columns j, 16 + j, ...
struct Lanes {
  V part[groups];
};
// f(group, column, count) for the vectors of a row, in order of the columns.
template <class F>
static inline __attribute__((always_inline)) void for_lanes(Size cols, F&& f) {
  Size j = 0;
  for (; j + 16 <= cols; j += 16) {
    MEANDER_UNROLL_LANES
    for (int g = 0; g < groups; ++g) f(g, j + g * W, All{});
  }
  MEANDER_UNROLL_LANES
  for (int g = 0; g < groups; ++g) {
    const Size left = cols - j - g * W;
    if (left >= W) f(g, j + g * W, All{});
    if constexpr (W > 1) {
      if (left > 0 && left < W) f(g, j + g * W, left);
    }
  }
}
static inline Lanes all_lanes(float x) {
  Lanes lanes;
  MEANDER_UNROLL_LANES
  for (int g = 0; g < groups; ++g) lanes.part[g] = broadcast(x);
  return lanes;
}
// The fixed tree: j with j + 8, then + 4, + 2, + 1.
template <class F>
static inline __attribute__((always_inline)) float fold(const Lanes& lanes, F&& f) {
  float s[16];
  MEANDER_UNROLL_LANES
  for (int g = 0; g < groups; ++g) store(s + g * W, lanes.part[g]);
  MEANDER_UNROLL_LANES
  for (int half = 8; half >= 1; half /= 2)
    for (int j = 0; j < half; ++j) s[j] = f(s[j], s[j + half]);
  return s[0];
}
static inline float sum(const Lanes& lanes) {
#if MEANDER_VECTOR_BYTES == 64
  const __m512 v = lanes.part[0];
  const __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
#elif MEANDER_VECTOR_BYTES == 32
  const __m256 a = _mm256_add_ps(lanes.part[0], lanes.part[1]);
#endif
#if MEANDER_VECTOR_BYTES >= 32
  const __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
#else
  return fold(lanes, [](float a, float b) { return a + b; });
#endif
}
