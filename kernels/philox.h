#pragma once

#include <cstdint>
#include <span>

namespace meander::kernels {

// Names one random stream: a seed, what the numbers are for, and the step they belong to.
struct RandomKey {
  uint64_t seed = 0;
  uint32_t purpose = 0;
  uint64_t step = 0;
};

// Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
// Block `block` of a stream: philox key = (seed low, seed high), counter = (block, purpose, step low, step high).
void philox_block(const RandomKey&, uint32_t block, uint32_t out[4]);

// Element i of each array below depends on (key, i) alone: word i % 4 of block i / 4. Bit-identical everywhere. `step`
// points to the step that counts when the numbers are drawn, or is null: then the key's counts.
//   uniform   ((bits >> 9) + 0.5) * 2^-23: in [2^-24, 1 - 2^-24], never 0 or 1, exact in float32
//   normal    by Box-Muller on the uniforms of words (2j, 2j + 1): sqrt(-2 log u0) * (cos, sin)(2 pi u1)
void philox_uniform(const RandomKey&, const uint64_t* step, int64_t n, float* out);
void philox_normal(const RandomKey&, const uint64_t* step, int64_t n, float* out);
// Several streams at once.
struct DrawArguments {
  RandomKey key;
  bool normal;
  int64_t n;
  float* out;
};
void philox_draws(std::span<const DrawArguments>, const uint64_t* step);

// On the CPU alone: the bits themselves, and integers in [0, bound), bound < 2^32, by (bits * bound) >> 32 (bias below
// bound / 2^32).
void philox_bits(const RandomKey&, int64_t n, uint32_t* out);
void philox_index(const RandomKey&, int64_t n, uint32_t bound, uint32_t* out);

}  // namespace meander::kernels
