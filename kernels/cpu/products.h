#pragma once

#include <cstdint>

#include "kernels/cpu/table.h"

// What dense.cpp and mlp.cpp share.
namespace meander::kernels {

int64_t packed_size(int64_t k, int64_t n);  // floats
float* aligned(float*);                     // the next cache line; needs up to 15 floats more

// B [k, n] (transposed: B^T [n, k]) made ready for a product with `rows` rows, in packed_size floats of workspace:
// packed, or for few rows left where it lies.
IsaMatrix pack_matrix(const IsaKernels&, int64_t rows, int64_t k, int64_t n, const float* b, int64_t stride,
                      bool transposed, float* workspace);

// Rows of such a product that are worth a thread: some 50 microseconds of work, a few tiles at least.
int64_t row_grain(const IsaKernels&, int64_t n, int64_t k);

}  // namespace meander::kernels
