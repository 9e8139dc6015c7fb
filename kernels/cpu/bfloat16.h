// float32 to bfloat16. Included by isa_layers.cpp and isa_products.cpp, inside their anonymous namespaces.

typedef uint16_t Halves __attribute__((vector_size(MEANDER_VECTOR_BYTES / 2)));

// v rounded to the nearest bfloat16, ties to even, in the low half of each lane. Below 2^-63 it becomes 0: then no
// product of two is denormal, which vdpbf16ps would flush. NaN stays NaN.
static inline U bfloat16_bits(V v) {
  const U bits = (U)as_int(v), magnitude = bits & 0x7fffffffu;
  const U rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  const U finite = magnitude < 0x20000000u ? U{} : rounded;
  return magnitude > 0x7f800000u ? U{} + 0x7fc0u : finite;
}
static inline Halves to_bfloat16(V v) {
#if defined(__AVX512BF16__)
  const __mmask16 kept = _mm512_cmp_ps_mask(absolute(v), broadcast(0x1p-63f), _CMP_NLT_UQ);
  return (Halves)_mm512_maskz_cvtneps_pbh(kept, v);
#else
  return __builtin_convertvector(bfloat16_bits(v), Halves);
#endif
}
static inline void store_halves(uint16_t* to, Halves halves, All) { __builtin_memcpy(to, &halves, sizeof halves); }
static inline void store_halves(uint16_t* to, Halves halves, int64_t count) {
  __builtin_memcpy(to, &halves, static_cast<uint64_t>(count) * sizeof(uint16_t));
}
