#pragma once

#include <cstddef>
#include <type_traits>
#include <vector>

#include <meander/core/tensor.h>

namespace meander::kernels { struct DeviceKernels; }

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

// The same stack in the memory of another device, for the numbers of tensors; tape nodes stay in the host's. It grows by
// chunks, which it keeps, so that the same update finds the same addresses again.
class DeviceArena {
 public:
  explicit DeviceArena(const kernels::DeviceKernels& device) : device_(device) {}
  ~DeviceArena();
  DeviceArena(const DeviceArena&) = delete;
  DeviceArena& operator=(const DeviceArena&) = delete;

  static DeviceArena* current();           // this thread's on its current device; null on the CPU

  void* allocate(size_t size);             // 256-byte aligned
  size_t top() const { return top_; }
  void release(size_t mark) { if (!kept_) top_ = mark; }
  // Whether nothing is given back: what two parts of recorded work do at the same time must not share memory.
  void keep(bool all) { kept_ = all; }

 private:
  struct Chunk {
    std::byte* data;
    size_t begin, end;                     // of all chunks laid end to end
  };
  const kernels::DeviceKernels& device_;
  std::vector<Chunk> chunks_;
  size_t top_ = 0;
  bool kept_ = false;
};

// Gives back on leaving the scope what was taken from this thread's arenas within it.
class ArenaScope {
 public:
  ArenaScope()
      : arena_(Arena::current()), mark_(arena_.top()), device_(DeviceArena::current()),
        device_mark_(device_ ? device_->top() : 0) {}
  ~ArenaScope() {
    arena_.release(mark_);
    if (device_) device_->release(device_mark_);
  }
  ArenaScope(const ArenaScope&) = delete;
  ArenaScope& operator=(const ArenaScope&) = delete;

 private:
  Arena& arena_;
  size_t mark_;
  DeviceArena* device_;
  size_t device_mark_;
};

// Arena memory of the host for one object or an array, not initialised.
template <class T>
T* arena_array(size_t n) {
  static_assert(std::is_trivially_destructible_v<T>);
  return static_cast<T*>(Arena::current().allocate(n * sizeof(T)));
}

// Tensors on the current device.
Tensor empty(int64_t rows, int64_t cols, DType dtype = DType::float32);
Tensor zeros(int64_t rows, int64_t cols, DType dtype = DType::float32);
Tensor full(int64_t rows, int64_t cols, double value, DType dtype = DType::float32);
Tensor copy(Tensor x);
void assign(Tensor to, Tensor from);       // to = from, of the same size
Tensor cast(Tensor x, DType dtype);        // float32 <-> float64, on the CPU

// A tensor of the host where the current device reads it: itself on the CPU, else a copy.
Tensor placed(Tensor host);
// A tensor of the current device where the host reads it, waiting for the device.
Tensor fetched(Tensor x);
void fetch(Tensor x, void* host);

// A [1, 1] float32 tensor. Reading it waits for the device.
struct Number {
  Tensor tensor;
  Number(Tensor t = {}) : tensor(t) {}
  operator float() const {
    float x = 0;
    if (tensor) fetch(tensor, &x);
    return x;
  }
};

}  // namespace meander
