#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace meander {

// What the header of an array in NumPy's format NPY says.
struct NpyHeader {
  std::string descr;  // the type of its numbers: "<f4", "|b1", ...
  bool fortran_order = false;
  std::vector<int64_t> shape;
};

constexpr std::string_view npy_magic = "\x93NUMPY";

// Reads the header's text, {'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }. Throws Error, without the
// file's name, at the first byte that is not as numpy.lib.format describes, and for more than 32 dimensions.
NpyHeader parse_npy_header(std::string_view text);

}  // namespace meander
