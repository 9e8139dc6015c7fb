#pragma once

#include <doctest/doctest.h>

#include <meander/kernels/modules.h>

namespace meander {

// Whether the program that reads HDF5 was built.
inline bool can_read_hdf5() {
  const bool built = !kernels::find_beside_program("meander-hdf5").empty();
  if (!built) MESSAGE("skipped: without libhdf5 there is no meander-hdf5");
  return built;
}

}  // namespace meander
