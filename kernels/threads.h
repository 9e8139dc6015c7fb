#pragma once

#include <cstdint>
#include <type_traits>

namespace meander::kernels {

// The number of threads the kernels use, the caller's included. Default: all hardware threads.
// set_threads stops and starts workers; not while kernels run. Results never depend on it.
int threads();
void set_threads(int count);

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
