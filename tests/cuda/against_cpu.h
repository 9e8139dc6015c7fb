#pragma once

#include <cstdint>
#include <cstring>

#include <meander/kernels/philox.h>
#include "on_device.h"

// What the tests share that hold a device's functions against the CPU's.
namespace meander {

using Floats = std::vector<float>;

inline Floats normals(int64_t n, uint64_t seed) {
  Floats x(static_cast<size_t>(n));
  kernels::philox_normal({.seed = seed}, nullptr, n, x.data());
  return x;
}

// The same bits, or NaN in both: only which NaN it is differs between devices.
inline bool same_numbers(const Floats& a, const Floats& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) && std::isnan(b[i])) continue;
    if (std::memcmp(&a[i], &b[i], sizeof(float)) != 0) {
      MESSAGE("element ", i, " is ", a[i], " instead of ", b[i]);
      return false;
    }
  }
  return true;
}

// Of a matrix with these sizes every path of a kernel is taken: one row, rows that fill no block, one column, columns
// that fill no vector, no group of 16 lanes, no warp.
struct Shape {
  int64_t rows, cols;
};
constexpr Shape edge_shapes[] = {{1, 1}, {5, 1}, {300, 1}, {1, 3}, {7, 3}, {3, 16}, {9, 21}, {2, 31}, {3, 33}, {5, 101},
                                 {3, 376}};

}  // namespace meander
