#pragma once

#include <span>
#include <type_traits>

#include <meander/kernels/cuda/cuda.h>
#include <meander/kernels/cuda/devices.h>
#include <meander/kernels/device.h>

// What the kernel files share.
namespace meander::kernels::MEANDER_CUDA {

// The functions of a device, as kernels/functions.h lists them: each file defines some.
#define MEANDER_DECLARE(name) std::remove_pointer_t<decltype(DeviceKernels::name)> name;
MEANDER_ALL_FUNCTIONS(MEANDER_DECLARE, MEANDER_DECLARE)
#undef MEANDER_DECLARE

const DeviceKernels& table();

// How many the device has. The emulator says two, so that small tests reach what large batches take.
int multiprocessors();

// Blocks that cover n elements with `block` threads each, at most as many as keep a large GPU busy: kernels loop on.
inline unsigned blocks_for(int64_t n, int64_t block) {
  const int64_t blocks = (n + block - 1) / block;
  return static_cast<unsigned>(blocks < 1 ? 1 : blocks > 4096 ? 4096 : blocks);
}

// A few of what a kernel does at once, among its arguments: the part blockIdx.y is of.at[blockIdx.y]'s.
template <class T, int most>
struct List {
  T at[most];
};
// f(list, how many) for all, `most` at a time.
template <int most, class T, class F>
void in_lists(std::span<const T> all, F f) {
  for (size_t first = 0; first < all.size(); first += most) {
    List<T, most> list{};
    const size_t count = all.size() - first < most ? all.size() - first : most;
    for (size_t i = 0; i < count; ++i) list.at[i] = all[first + i];
    f(list, static_cast<unsigned>(count));
  }
}
// Blocks for the largest of them.
template <class T>
unsigned blocks_for_all(std::span<const T> all, int64_t each, int64_t block) {
  int64_t most = 1;
  for (const T& a : all) most = a.n > most ? a.n : most;
  return blocks_for((most + each - 1) / each, block);
}

}  // namespace meander::kernels::MEANDER_CUDA
