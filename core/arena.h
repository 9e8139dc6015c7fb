#pragma once

#include <cstddef>
#include <type_traits>

#include "core/tensor.h"

namespace meander {

// Memory of one update: a stack. Temporaries, tape nodes and saved activations are taken from the top and given back all
// at once, so after the first update, which touches the pages, nothing is allocated from the system any more.
// Nothing in it has a destructor. Each thread has its own; under the address sanitizer released memory and the gaps
// between blocks are poisoned.
class Arena {
 public:
  explicit Arena(size_t reserve = size_t{64} << 30);  // address space; pages are taken when first touched
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  static Arena& current();                 // this thread's

  void* allocate(size_t size);             // 64-byte aligned, not cleared; throws Failure when the reserve is used up
  size_t top() const { return top_; }
  void release(size_t mark);               // gives back all that was taken since top() was `mark`
  size_t high_water() const { return high_water_; }

 private:
  std::byte* base_ = nullptr;
  size_t reserve_ = 0, top_ = 0, high_water_ = 0;
};

// Gives back on leaving the scope what was taken from this thread's arena within it.
class ArenaScope {
 public:
  ArenaScope() : arena_(Arena::current()), mark_(arena_.top()) {}
  ~ArenaScope() { arena_.release(mark_); }
  ArenaScope(const ArenaScope&) = delete;
  ArenaScope& operator=(const ArenaScope&) = delete;

 private:
  Arena& arena_;
  size_t mark_;
};

// Arena memory for one object or an array, not initialised.
template <class T>
T* arena_array(size_t n) {
  static_assert(std::is_trivially_destructible_v<T>);
  return static_cast<T*>(Arena::current().allocate(n * sizeof(T)));
}

Tensor empty(int64_t rows, int64_t cols, DType dtype = DType::float32);
Tensor zeros(int64_t rows, int64_t cols, DType dtype = DType::float32);
Tensor full(int64_t rows, int64_t cols, double value, DType dtype = DType::float32);
Tensor copy(Tensor x);
Tensor cast(Tensor x, DType dtype);        // float32 <-> float64

}  // namespace meander
