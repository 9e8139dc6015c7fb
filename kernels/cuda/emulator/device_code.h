#pragma once

// The part of CUDA's device language that the kernels use, for the emulator: built-in variables, barriers, shuffles,
// votes, atomics, vector types, bfloat16. Included by kernels/cuda/cuda.h instead of the toolkit's headers.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include <meander/kernels/cuda/emulator/executor.h>

#define __global__ static
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__

#define threadIdx (::meander::kernels::emulated::place().thread)
#define blockIdx (::meander::kernels::emulated::place().block)
#define blockDim (::meander::kernels::emulated::place().block_size)
#define gridDim (::meander::kernels::emulated::place().grid_size)

#define MEANDER_SHARED(type, name, count)  \
  static const char name##_tag = 0;        \
  type* const name = reinterpret_cast<type*>(::meander::kernels::emulated::static_shared_memory(&name##_tag, sizeof(type) * (count)))

#include <meander/kernels/cuda/grid_barrier.h>   // device code itself

namespace meander::kernels::emulated {

template <class T>
T* shared_memory() {
  return reinterpret_cast<T*>(dynamic_shared_memory());
}

// ---- barriers --------------------------------------------------------------------------------------------------------
inline void __syncthreads(SourceLocation where = SourceLocation::current()) { block_barrier(where); }
inline void __syncwarp(uint32_t mask = 0xffffffffu, SourceLocation where = SourceLocation::current()) {
  warp_barrier(mask, where);
}
inline void __threadfence() {}

// ---- shuffles and votes ----------------------------------------------------------------------------------------------
template <class T>
MEANDER_UNSEEN T lane_value(const uint32_t* slots, int lane) {
  T v;
  copy_unseen(&v, slots + static_cast<size_t>(lane) * slot_words, sizeof v);
  return v;
}
MEANDER_UNSEEN inline uint32_t lane_word(const uint32_t* slots, int lane, int word) {
  return slots[static_cast<size_t>(lane) * slot_words + static_cast<size_t>(word)];
}

// The value of the lane that `source` gives for this one; a source that takes no part is reported.
template <class T, class Source>
T shuffle(uint32_t mask, T v, Source source, SourceLocation where) {
  const uint32_t* slots = warp_exchange(mask, &v, sizeof v, where);
  const int from = source(lane());
  if (!(mask >> from & 1)) fail("a shuffle reads lane %d, which takes no part", from);
  return lane_value<T>(slots, from);
}
template <class T>
T __shfl_sync(uint32_t mask, T v, int source, int width = 32,
              SourceLocation where = SourceLocation::current()) {
  return shuffle(mask, v, [=](int lane) { return (lane & ~(width - 1)) | (source & (width - 1)); }, where);
}
template <class T>
T __shfl_xor_sync(uint32_t mask, T v, int bits, int width = 32,
                  SourceLocation where = SourceLocation::current()) {
  return shuffle(mask, v, [=](int lane) { return (lane ^ bits) < (lane | (width - 1)) + 1 ? lane ^ bits : lane; }, where);
}
template <class T>
T __shfl_down_sync(uint32_t mask, T v, unsigned by, int width = 32,
                   SourceLocation where = SourceLocation::current()) {
  return shuffle(mask, v, [=](int lane) {
    const int from = lane + static_cast<int>(by);
    return from <= (lane | (width - 1)) ? from : lane;
  }, where);
}
template <class T>
T __shfl_up_sync(uint32_t mask, T v, unsigned by, int width = 32,
                 SourceLocation where = SourceLocation::current()) {
  return shuffle(mask, v, [=](int lane) {
    const int from = lane - static_cast<int>(by);
    return from >= (lane & ~(width - 1)) ? from : lane;
  }, where);
}
inline uint32_t __ballot_sync(uint32_t mask, int predicate,
                              SourceLocation where = SourceLocation::current()) {
  const uint32_t* slots = warp_exchange(mask, &predicate, sizeof predicate, where);
  uint32_t votes = 0;
  for (int i = 0; i < 32; ++i)
    if (mask >> i & 1) votes |= static_cast<uint32_t>(lane_value<int>(slots, i) != 0) << i;
  return votes;
}
inline int __any_sync(uint32_t mask, int predicate, SourceLocation where = SourceLocation::current()) {
  return __ballot_sync(mask, predicate, where) != 0;
}
inline int __all_sync(uint32_t mask, int predicate, SourceLocation where = SourceLocation::current()) {
  return __ballot_sync(mask, predicate, where) == mask;
}

// ---- atomics: the fibers of all blocks share one thread, so plain order is what counts; the sanitizer sees atomics ---
template <class T>
T atomicAdd(T* p, T v) {
  if constexpr (std::is_floating_point_v<T>) {
    using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
    Bits old = __atomic_load_n(reinterpret_cast<Bits*>(p), __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(reinterpret_cast<Bits*>(p), &old, std::bit_cast<Bits>(std::bit_cast<T>(old) + v),
                                        false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return std::bit_cast<T>(old);
  } else {
    return __atomic_fetch_add(p, v, __ATOMIC_RELAXED);
  }
}

// First all meet, which reports who does not come; then the counter's own way, which must let all pass. Null: no counter.
inline void wait_for_grid(uint32_t* arrived, SourceLocation where = SourceLocation::current()) {
  grid_barrier(where);
  if (!arrived) return;
  __syncthreads(where);
  if (threadIdx.x == 0) {
    const uint32_t before = atomicAdd(arrived, grid_share(blockIdx.x, gridDim.x));
    spin_until([&] { return grid_came(before, __atomic_load_n(arrived, __ATOMIC_RELAXED)); }, where);
  }
  __syncthreads(where);
}
template <class T>
T atomicCAS(T* p, T expected, T v) {
  __atomic_compare_exchange_n(p, &expected, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}

// ---- vector types, numbers -------------------------------------------------------------------------------------------
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

inline uint32_t __float_as_uint(float x) { return std::bit_cast<uint32_t>(x); }
inline float __uint_as_float(uint32_t x) { return std::bit_cast<float>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline uint32_t __umulhi(uint32_t a, uint32_t b) { return static_cast<uint32_t>((uint64_t{a} * b) >> 32); }
using std::max, std::min;
using ::sqrtf, ::fmaf, ::fmaxf, std::isfinite, std::isnan;

// Round to nearest even, as the hardware does.
struct __nv_bfloat16 {
  uint16_t bits;
};
inline __nv_bfloat16 __float2bfloat16_rn(float x) {
  const uint32_t u = std::bit_cast<uint32_t>(x);
  if ((u & 0x7fffffffu) > 0x7f800000u) return {0x7fff};
  return {static_cast<uint16_t>((u + 0x7fffu + (u >> 16 & 1)) >> 16)};
}

}  // namespace meander::kernels::emulated
