#pragma once

#include <cstdint>

#include <meander/kernels/cpu/table.h>

// What dense.cpp and mlp.cpp share.
namespace meander::kernels {

int64_t packed_size(int64_t k, int64_t n);  // floats
float* aligned(float*);                     // the next cache line; needs up to 15 floats more

// Up to so many rows B is left where it lies: packing pays once its cost is spread over more.
constexpr int64_t rows_in_place = 256;

// B [k, n] (transposed: B^T [n, k]) made ready for a product with `rows` rows, in packed_size floats of workspace:
// packed, or for few rows left where it lies.
IsaMatrix pack_matrix(const IsaKernels&, int64_t rows, int64_t k, int64_t n, const float* b, int64_t stride,
                      bool transposed, float* workspace);

// In what pieces `rows` rows of `cost` multiply-adds each go to the threads: all in one if they are worth less than
// some ten microseconds a thread, an even share each while that is no more than some tiles, else whole tiles.
int64_t row_grain(const IsaKernels&, int64_t rows, int64_t cost);

}  // namespace meander::kernels
