#pragma once

#include <cstdint>

namespace meander::kernels {

// What launches are planned by.
struct DeviceRoom {
  int multiprocessors;
  int64_t shared_bytes;   // that a block can have
  bool operator==(const DeviceRoom&) const = default;
};

}  // namespace meander::kernels
