#pragma once

#include <meander/kernels/cuda/cuda.h>

// The instructions that CUDA C++ has no name for, and nothing else in PTX; each beside its emulated twin. All exist from
// sm_80 on.
namespace meander::kernels::MEANDER_CUDA {

// ---- asynchronous copies from global to shared memory ----------------------------------------------------------------
// `valid` bytes are copied, the rest of the 4 or 16 becomes zero; both addresses aligned to the size.

#if defined(__CUDACC__)

__device__ inline unsigned shared_address(const void* p) { return static_cast<unsigned>(__cvta_generic_to_shared(p)); }

__device__ inline void copy_async16(void* shared, const void* global, int valid = 16) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(valid)
               : "memory");
}
__device__ inline void copy_async4(void* shared, const void* global, int valid = 4) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(valid)
               : "memory");
}
__device__ inline void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int GroupsLeft>
__device__ inline void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(GroupsLeft) : "memory");
}

#else

inline void copy_async16(void* shared, const void* global, int valid = 16) {
  async_copy(shared, global, 16, static_cast<size_t>(valid));
}
inline void copy_async4(void* shared, const void* global, int valid = 4) {
  async_copy(shared, global, 4, static_cast<size_t>(valid));
}
inline void copy_async_commit() { async_commit(); }
template <int GroupsLeft>
void copy_async_wait() {
  async_wait(GroupsLeft);
}

#endif

// ---- products of small matrices by a warp ----------------------------------------------------------------------------
// d [16, 8] += a [16, k] b [k, 8]. With group = lane / 4 and rest = lane % 4 a lane holds
//   d: (group, 2 rest), (group, 2 rest + 1), (group + 8, 2 rest), (group + 8, 2 rest + 1)
//   k = 8, tf32:      a: (group, rest), (group + 8, rest), (group, rest + 4), (group + 8, rest + 4)
//                     b: (rest, group), (rest + 4, group)
//   k = 16, bfloat16, two to a word, the lower column (of a) or row (of b) in the lower half:
//                     a: (group, 2 rest ..), (group + 8, 2 rest ..), (group, 2 rest + 8 ..), (group + 8, 2 rest + 8 ..)
//                     b: (2 rest .., group), (2 rest + 8 .., group)

#if defined(__CUDACC__)

// Rounded to the 10 bits of mantissa that tf32 has.
__device__ inline uint32_t to_tf32(float x) {
  uint32_t y;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(x));
  return y;
}
__device__ inline void mma_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
               "{%0, %1, %2, %3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
__device__ inline void mma_bfloat16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
               "{%0, %1, %2, %3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
// Two numbers rounded to bfloat16 in one word, `low` in the lower half.
__device__ inline uint32_t pack_bfloat16(float low, float high) {
  uint32_t y;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
  return y;
}
// Four 8 x 8 matrices of 16-bit elements: lane l gives the address of row l % 8 of matrix l / 8 (16 bytes, aligned) and
// receives of each matrix the word at (l / 4, 2 (l % 4)).
__device__ inline void load_matrices(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}

#else

// Ties away from zero, as cvt.rna.
inline uint32_t to_tf32(float x) {
  const uint32_t u = std::bit_cast<uint32_t>(x);
  return (u & 0x7f800000u) == 0x7f800000u ? u : (u + 0x1000u) & 0xffffe000u;
}
inline uint32_t pack_bfloat16(float low, float high) {
  return __float2bfloat16_rn(low).bits | uint32_t{__float2bfloat16_rn(high).bits} << 16;
}

struct Fragments {
  uint32_t a[4], b[2];
};
// The lower 13 bits of a tf32 operand are ignored by the hardware.
inline float tf32(uint32_t x) { return std::bit_cast<float>(x & 0xffffe000u); }
inline float half_of(uint32_t word, int which) { return std::bit_cast<float>(which ? word & 0xffff0000u : word << 16); }

inline uint64_t exponent_of(double x) { return std::bit_cast<uint64_t>(x) >> 52 & 0x7ff; }
// d plus four products as tensor cores add them: each is cut off 24 bits below the largest one's exponent, and the sum,
// which is then exact here, to a float. (Fasi, Higham, Mikaitis, Pranesh, "Numerical behavior of NVIDIA tensor cores",
// 2021; how many bits and products is the hardware's secret: fewer of either than newer ones have.)
inline double aligned_sum(double d, const double (&products)[4]) {
  uint64_t largest = exponent_of(d);
  for (const double p : products) largest = std::max(largest, exponent_of(p));
  if (largest == 0x7ff || largest < 64) return d + products[0] + products[1] + products[2] + products[3];
  const double unit = std::bit_cast<double>((largest - 23) << 52);                // 2^(e - 23)
  const double per_unit = std::bit_cast<double>((2046 - (largest - 23)) << 52);
  const auto cut = [&](double x) { return static_cast<double>(static_cast<int64_t>(x * per_unit)); };
  return (cut(d) + cut(products[0]) + cut(products[1]) + cut(products[2]) + cut(products[3])) * unit;
}

// To float, towards zero.
inline float cut_off(double x) {
  const float y = static_cast<float>(x);
  return std::isfinite(y) && std::abs(double{y}) > std::abs(x) ? std::bit_cast<float>(std::bit_cast<uint32_t>(y) - 1) : y;
}

template <int K, class ElementA, class ElementB>
void multiply_fragments(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], ElementA element_a,
                        ElementB element_b, SourceLocation where) {
  Fragments mine;
  std::copy_n(a, 4, mine.a);
  std::copy_n(b, 2, mine.b);
  const uint32_t* slots = warp_exchange(0xffffffffu, &mine, sizeof mine, where);
  const int group = lane() / 4, rest = lane() % 4;
  for (int i = 0; i < 4; ++i) {
    const int row = group + i / 2 * 8, col = 2 * rest + i % 2;
    for (int first = 0; first < K; first += 4) {
      double products[4];   // exact
      for (int k = 0; k < 4; ++k) products[k] = double{element_a(slots, row, first + k)} * element_b(slots, first + k, col);
      d[i] = cut_off(aligned_sum(d[i], products));
    }
  }
}
inline void mma_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                     SourceLocation where = SourceLocation::current()) {
  multiply_fragments<8>(
      d, a, b,
      [](const uint32_t* s, int row, int k) {
        return tf32(lane_word(s, row % 8 * 4 + k % 4, row / 8 + k / 4 * 2));
      },
      [](const uint32_t* s, int k, int col) { return tf32(lane_word(s, col * 4 + k % 4, 4 + k / 4)); },
      where);
}
inline void mma_bfloat16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                         SourceLocation where = SourceLocation::current()) {
  multiply_fragments<16>(
      d, a, b,
      [](const uint32_t* s, int row, int k) {
        return half_of(lane_word(s, row % 8 * 4 + k % 8 / 2, row / 8 + k / 8 * 2), k % 2);
      },
      [](const uint32_t* s, int k, int col) {
        return half_of(lane_word(s, col * 4 + k % 8 / 2, 4 + k / 8), k % 2);
      },
      where);
}
inline void load_matrices(uint32_t (&r)[4], const void* row,
                          SourceLocation where = SourceLocation::current()) {
  if (reinterpret_cast<uintptr_t>(row) % 16) fail("ldmatrix: an address is not aligned to 16 bytes");
  const uint32_t* slots = warp_exchange(0xffffffffu, &row, sizeof row, where);
  const int l = lane();
  for (int m = 0; m < 4; ++m)
    r[m] = static_cast<const uint32_t*>(lane_value<const void*>(slots, m * 8 + l / 4))[l % 4];
}

#endif

}  // namespace meander::kernels::MEANDER_CUDA
