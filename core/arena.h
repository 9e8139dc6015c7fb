#pragma once

#include <cstddef>
#include <type_traits>
#include <vector>

#include <meander/core/tensor.h>

namespace meander::kernels { struct DeviceKernels; }

namespace meander {

// Memory of one update: a stack, in chunks that are taken from the system as it grows and kept, so that the same update
// finds the same addresses again and after the first one nothing is asked of the system any more.
class ChunkStack {
 public:
  ChunkStack(const ChunkStack&) = delete;
  ChunkStack& operator=(const ChunkStack&) = delete;

  size_t top() const { return top_; }

 protected:
  struct Chunk {
    std::byte* data;
    size_t begin, end;                     // of all chunks laid end to end
  };
  ChunkStack() = default;
  ~ChunkStack() = default;

  std::byte* take(size_t size);            // from the chunk at the top or a later one; null if none has room
  void add(std::byte* data, size_t size);  // one more chunk, the last
  void give_back(size_t mark);
  size_t size() const { return chunks_.empty() ? 0 : chunks_.back().end; }

  std::vector<Chunk> chunks_;
  size_t top_ = 0;

 private:
  size_t at_ = 0;                          // the chunk of the top
};

// The stack in the host's memory, for temporaries, tape nodes and saved activations. Nothing in it has a destructor.
// Each thread has its own; under the address sanitizer released memory and the gaps between blocks are poisoned.
class Arena : public ChunkStack {
 public:
  Arena() = default;
  ~Arena();

  static Arena& current();                 // this thread's

  void* allocate(size_t size);             // 64-byte aligned, not cleared; throws Failure when the system refuses
  void release(size_t mark);               // gives back all that was taken since top() was `mark`
  size_t high_water() const { return high_water_; }

 private:
  void grow(size_t size);

  size_t high_water_ = 0;
};

// The stack in the memory of another device, for the numbers of tensors; tape nodes stay in the host's.
class DeviceArena : public ChunkStack {
 public:
  explicit DeviceArena(const kernels::DeviceKernels& device) : device_(device) {}
  ~DeviceArena();

  static DeviceArena* current();           // this thread's on its current device; null on the CPU

  void* allocate(size_t size);             // 256-byte aligned
  void release(size_t mark) { if (!kept_) give_back(mark); }
  // Whether nothing is given back: what two parts of recorded work do at the same time must not share memory.
  void keep(bool all) { kept_ = all; }
  size_t given() const { return given_; }  // bytes in all that allocate was asked for, each rounded up
  // From here on so many bytes are there without asking the device, which gives none while work is recorded. Throws
  // Failure if it has none.
  void reserve(size_t size);

  static size_t smallest_chunk;            // bytes asked of the device at once; tests make it small

 private:
  void grow(size_t size);

  const kernels::DeviceKernels& device_;
  bool kept_ = false;
  size_t given_ = 0;
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
