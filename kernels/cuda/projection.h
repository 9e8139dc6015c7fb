#pragma once

#include <meander/kernels/cuda/formulas.h>

// The C51 projection of kernels/rows.h by a warp a row: each mass of the row in turn, as on the CPU, is added to its two
// neighbours by the threads that hold these: thread t holds atoms t, 32 + t, 64 + t and 96 + t of each 128. The warp
// works out 32 masses at a time.
namespace meander::kernels::MEANDER_CUDA {

constexpr int project_block = 64, held = 4;

// Where a place's masses go, of `sets` distributions at the same places.
template <int sets>
struct alignas(16) Share {
  int low;
  float lower[sets], upper[sets];   // parts of the mass
};

// `shares`: 32 of the warp in shared memory. where(j), mass(set, j) -> store(set, j, projected mass).
template <int sets, class Where, class Mass, class Store>
__device__ inline void project_row(int64_t atoms, float v_min, float v_max, Share<sets>* shares, Where where, Mass mass,
                                   Store store) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  for (int64_t first = 0; first < atoms; first += 32 * held) {
    float s[sets][held] = {};
    for (int64_t j = 0; j < atoms; j += 32) {
      const int count = static_cast<int>(atoms - j < 32 ? atoms - j : 32);
      if (lane < count) {
        const GridPlace place = grid_place(atoms, v_min, v_max, where(j + lane));
        Share<sets> share;
        share.low = static_cast<int>(place.low);
#pragma unroll
        for (int c = 0; c < sets; ++c) {
          share.lower[c] = mass(c, j + lane) * (1.0f - place.upper_share);
          share.upper[c] = mass(c, j + lane) * place.upper_share;
        }
        shares[lane] = share;
      }
      __syncwarp();
      for (int k = 0; k < count; ++k) {
        const Share<sets> share = shares[k];
        const int from_low = static_cast<int>(first) + lane - share.low;
#pragma unroll
        for (int h = 0; h < held; ++h)
#pragma unroll
          for (int c = 0; c < sets; ++c)
            s[c][h] += from_low + 32 * h == 0 ? share.lower[c] : from_low + 32 * h == 1 ? share.upper[c] : 0.0f;
      }
      __syncwarp();
    }
#pragma unroll
    for (int h = 0; h < held; ++h)
#pragma unroll
      for (int c = 0; c < sets; ++c)
        if (first + lane + 32 * h < atoms) store(c, first + lane + 32 * h, s[c][h]);
  }
}

}  // namespace meander::kernels::MEANDER_CUDA
