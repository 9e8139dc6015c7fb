#pragma once

#include <cstdint>
#include <string>
#include <type_traits>

namespace meander::kernels {

// The number of threads the kernels use, the caller's included. Default: default_threads(). set_threads stops the
// workers; not while kernels run. The first work for more than one thread starts new ones, and if the system refuses
// some goes on with fewer. Results never depend on it.
int threads();
void set_threads(int count);

// The processors this process may run on, and no more than its control group's quota (rounded down; at least 1):
// threads beyond would wait for the others. `root` stands before the paths of /proc and /sys, for tests.
int default_threads(const std::string& root = "");

using RangeTask = void (*)(void* context, int64_t begin, int64_t end);

// Runs task over [0, count) in contiguous pieces whose bounds are multiples of `grain` (but the last), each index
// exactly once, and returns when all are done. The caller works too. Runs inline when count <= grain, with one
// thread, or when called from inside a task. A task must not throw. Allocates nothing.
void parallel_for(int64_t count, int64_t grain, RangeTask task, void* context);

template <class F>
void parallel_for(int64_t count, int64_t grain, F&& f) {
  parallel_for(
      count, grain,
      [](void* c, int64_t begin, int64_t end) { (*static_cast<std::remove_reference_t<F>*>(c))(begin, end); },
      const_cast<void*>(static_cast<const void*>(&f)));
}

}  // namespace meander::kernels
