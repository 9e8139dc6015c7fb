#pragma once

#include <cstddef>
#include <string>

namespace meander {

// The bytes this process can still take without swapping or being refused: the least of what the system calls available
// (MemAvailable of /proc/meminfo), what its control groups leave (kernels/control_groups.h) and what its limit on
// address space leaves (ulimit -v). It changes from call to call. `root` stands before the paths of /proc and /sys, for
// tests.
std::size_t memory_available(const std::string& root = "");

}  // namespace meander
