#pragma once

#include <cstdint>

// The counter of wait_for_grid: every block adds its share of it, block 0 so much more than the others that its highest
// bit turns when the last has come, and never before, so that it need not be cleared.
namespace meander::kernels {

__device__ inline uint32_t grid_share(uint32_t block, uint32_t blocks) { return block == 0 ? 0x80000000u - (blocks - 1) : 1u; }
__device__ inline bool grid_came(uint32_t before, uint32_t now) { return ((before ^ now) & 0x80000000u) != 0; }

}  // namespace meander::kernels
