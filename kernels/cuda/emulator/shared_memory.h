#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include <meander/kernels/error.h>
#include <meander/kernels/poison.h>

namespace meander::kernels::emulated {

// The shared memory of a running block: filled with 0xff, which reads as NaN, and closed to the kernel but for the
// bytes it asked for, so that the address sanitizer sees one too many. Not from the heap: the thread sanitizer would take
// the allocation by one fiber for a write of that fiber.
struct SharedMemory {
  static constexpr size_t size = 512 * 1024, gap = 128;
  static constexpr int most_arrays = 32;
  std::byte* base = nullptr;
  size_t dynamic = 0;                      // bytes, from the base on
  struct Array {
    const void* tag;
    std::byte* data;
  } arrays[most_arrays];
  int count = 0;
  size_t taken = 0;

  std::byte* take(size_t n) {
    std::byte* p = base + taken;
    taken += (n + gap - 1) / gap * gap + gap;
    MEANDER_UNPOISON(p, n);
    return p;
  }
  void reset(size_t bytes) {
    if (!base) {
      void* p = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (p == MAP_FAILED) throw Failure("no memory for the emulator's shared memory");
      base = static_cast<std::byte*>(p);
      taken = size;
    }
    MEANDER_UNPOISON(base, size);
    std::memset(base, 0xff, std::max(taken, bytes));
    MEANDER_POISON(base, size);
    taken = 0, count = 0, dynamic = bytes;
    take(bytes);
  }
};

}  // namespace meander::kernels::emulated
