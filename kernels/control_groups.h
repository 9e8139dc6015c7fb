#pragma once

#include <cstddef>
#include <string>

namespace meander::kernels {

// What Linux control groups (cgroups, versions 1 and 2: proc(5), cgroups(7)) allow this process: the least of what its
// group and those above it allow, as far as they can be read. `root` stands before every path, for tests.

// Processors' worth of time (cpu.max, cpu.cfs_quota_us); infinity if there is no limit.
double processor_quota(const std::string& root = "");

// Bytes below the memory limit (memory.max, memory.limit_in_bytes) that are not in use; cached parts of files that
// nobody read lately count as unused, since the system gives them up. The largest size_t if there is no limit.
std::size_t memory_below_limit(const std::string& root = "");

}  // namespace meander::kernels
