#pragma once

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <meander/kernels/error.h>
#include <meander/kernels/cuda/ptx.h>

// What the emulator's own tests share.
namespace meander::kernels::emulated {

// Device memory that holds n of T.
template <class T>
struct Memory {
  T* data;
  size_t size;
  explicit Memory(size_t n) : data(static_cast<T*>(allocate(n * sizeof(T)))), size(n) {}
  explicit Memory(const std::vector<T>& x) : Memory(x.size()) { copy(data, x.data(), size * sizeof(T)); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() { deallocate(data); }
  operator T*() const { return data; }
  std::vector<T> host() const {
    std::vector<T> x(size);
    copy(x.data(), data, size * sizeof(T));
    return x;
  }
};

// What a launch reports, or nothing: of one block, or of several at the same time.
template <class Start>
std::string report_of(Start start) {
  std::string what;
  try {
    start();
  } catch (const Failure& failure) {
    what = failure.what();
  }
  return what;
}
template <class... Parameters, class... Arguments>
std::string report(void (*kernel)(Parameters...), dim3 block, size_t shared_bytes, const Arguments&... arguments) {
  return report_of([&] { launch(kernel, 1, block, shared_bytes, arguments...); });
}
template <class... Parameters, class... Arguments>
std::string report_together(void (*kernel)(Parameters...), dim3 grid, dim3 block, const Arguments&... arguments) {
  return report_of([&] { launch_together(kernel, grid, block, 0, arguments...); });
}
inline bool has(const std::string& text, const std::string& part) {
  const bool found = text.find(part) != std::string::npos;
  if (!found) MESSAGE("\"", part, "\" is not in: ", text);
  return found;
}

// Each block takes over, round by round, what the block before it has; shared memory is a block's own.
__global__ inline void hand_on(int* y, uint32_t* arrived, bool wait) {
  MEANDER_SHARED(int, mine, 1);
  const unsigned block = blockIdx.x, before = (block + gridDim.x - 1) % gridDim.x;
  if (threadIdx.x == 0) mine[0] = static_cast<int>(block);
  for (int round = 0; round < 3; ++round) {
    if (threadIdx.x == 0) y[block] = mine[0];
    if (wait) wait_for_grid(arrived);
    if (threadIdx.x == 1) mine[0] = y[before] + 10;
    wait_for_grid(arrived);
  }
  if (threadIdx.x == 1) y[block] = mine[0];
}

}  // namespace meander::kernels::emulated
