#pragma once

#include <meander/kernels/cuda/formulas.h>
#include <meander/kernels/philox.h>

// Philox on a device: a thread works out a block of four words, and what is made of them.
namespace meander::kernels::MEANDER_CUDA {

__device__ inline void philox_words(const RandomKey& key, uint64_t step, int64_t block, I (&word)[4]) {
  word[0] = static_cast<I>(block), word[1] = static_cast<I>(key.purpose);
  word[2] = static_cast<I>(step), word[3] = static_cast<I>(step >> 32);
  philox_rounds(static_cast<uint32_t>(key.seed), static_cast<uint32_t>(key.seed >> 32), word);
}

struct Uniform {
  __device__ void operator()(const I (&word)[4], float (&y)[4]) const {
#pragma unroll
    for (int w = 0; w < 4; ++w) y[w] = uniform_of(static_cast<uint32_t>(word[w]));
  }
};
struct Normal {
  __device__ void operator()(const I (&word)[4], float (&y)[4]) const {
    float u[4];
    Uniform{}(word, u);
    box_muller(u[0], u[1], y[0], y[1]);
    box_muller(u[2], u[3], y[2], y[3]);
  }
};

}  // namespace meander::kernels::MEANDER_CUDA
