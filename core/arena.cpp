#include <meander/core/arena.h>

#include <algorithm>
#include <deque>
#include <new>

#include <meander/kernels/device.h>
#include <meander/kernels/error.h>
#include <meander/kernels/poison.h>

namespace meander {
namespace {

constexpr size_t alignment = 64;
#if defined(__SANITIZE_ADDRESS__)
constexpr size_t red_zone = 64;
#else
constexpr size_t red_zone = 0;
#endif
// Enough to act, and little beside what a thread takes anyhow.
constexpr size_t first_chunk = size_t{1} << 20;

}  // namespace

// ---- a stack of chunks ----------------------------------------------------------------------------------------------

std::byte* ChunkStack::take(size_t size) {
  for (; at_ < chunks_.size(); ++at_) {
    const Chunk& c = chunks_[at_];
    const size_t begin = std::max(top_, c.begin);
    if (c.end - begin < size) continue;
    top_ = begin + size;
    return c.data + (begin - c.begin);
  }
  return nullptr;
}

void ChunkStack::add(std::byte* data, size_t size) {
  const size_t begin = this->size();
  chunks_.push_back({data, begin, begin + size});
}

void ChunkStack::give_back(size_t mark) {
  top_ = mark;
  while (at_ > 0 && (at_ == chunks_.size() || chunks_[at_].begin > mark)) --at_;
}

// ---- the host's -----------------------------------------------------------------------------------------------------

Arena::~Arena() {
  for (const Chunk& c : chunks_) {
    MEANDER_UNPOISON(c.data, c.end - c.begin);
    ::operator delete(c.data, std::align_val_t{alignment});
  }
}

Arena& Arena::current() {
  thread_local Arena arena;
  return arena;
}

void* Arena::allocate(size_t size) {
  const size_t taken = (size + red_zone + alignment - 1) / alignment * alignment;
  std::byte* p = take(taken);
  if (!p) {
    grow(taken);
    p = take(taken);
  }
  high_water_ = std::max(high_water_, top_);
  MEANDER_UNPOISON(p, size);
  return p;
}

// Each chunk is as large as all before, so that there are few; where that is refused, as large as it must be.
void Arena::grow(size_t size) {
  chunks_.reserve(chunks_.size() + 1);
  for (size_t wanted : {std::max({size, this->size(), first_chunk}), size}) {
    void* p = ::operator new(wanted, std::align_val_t{alignment}, std::nothrow);
    if (!p) continue;
    MEANDER_POISON(p, wanted);
    return add(static_cast<std::byte*>(p), wanted);
  }
  throw Failure(message("out of memory: ", size, " more bytes wanted for an update, ", this->size(), " taken so far"));
}

void Arena::release(size_t mark) {
#if defined(__SANITIZE_ADDRESS__)
  for (const Chunk& c : chunks_) {
    const size_t begin = std::max(mark, c.begin), end = std::min(top_, c.end);
    if (begin < end) MEANDER_POISON(c.data + (begin - c.begin), end - begin);
  }
#endif
  give_back(mark);
}

// ---- another device's -----------------------------------------------------------------------------------------------

DeviceArena::~DeviceArena() {
  for (const Chunk& c : chunks_) device_.deallocate(c.data);
}

DeviceArena* DeviceArena::current() {
  const kernels::DeviceKernels& device = kernels::current();
  if (kernels::on_cpu()) return nullptr;
  thread_local std::deque<DeviceArena> arenas;   // one a device
  for (DeviceArena& a : arenas)
    if (&a.device_ == &device) return &a;
  return &arenas.emplace_back(device);
}

size_t DeviceArena::smallest_chunk = size_t{32} << 20;

void* DeviceArena::allocate(size_t size) {
  constexpr size_t alignment = 256;
  size = (size + alignment - 1) / alignment * alignment;
  given_ += size;
  if (std::byte* p = take(size)) return p;
  grow(size);
  return take(size);
}

void DeviceArena::reserve(size_t size) {
  const size_t left = chunks_.empty() ? 0 : this->size() - std::max(top(), chunks_.back().begin);
  if (left < size) grow(size);
}

void DeviceArena::grow(size_t size) {
  const size_t length = std::max(size, smallest_chunk);
  add(static_cast<std::byte*>(device_.allocate(length)), length);
}

// ---- tensors --------------------------------------------------------------------------------------------------------

Tensor empty(int64_t rows, int64_t cols, DType dtype) {
  const size_t size = static_cast<size_t>(rows * cols * bytes(dtype));
  DeviceArena* const device = DeviceArena::current();
  return {device ? device->allocate(size) : Arena::current().allocate(size), rows, cols, dtype};
}

Tensor zeros(int64_t rows, int64_t cols, DType dtype) {
  Tensor y = empty(rows, cols, dtype);
  kernels::current().fill(y.data, 0, static_cast<size_t>(y.size() * bytes(dtype)));
  return y;
}

Tensor full(int64_t rows, int64_t cols, double value, DType dtype) {
  Tensor y = empty(rows, cols, dtype);
  if (dtype == DType::float64)
    std::fill_n(y.as<double>(), y.size(), value);
  else
    kernels::current().fill_value(y.size(), static_cast<float>(value), y.f32());
  return y;
}

Tensor copy(Tensor x) {
  Tensor y = empty(x.rows, x.cols, x.dtype);
  kernels::current().copy(y.data, x.data, static_cast<size_t>(x.size() * bytes(x.dtype)));
  return y;
}

void assign(Tensor to, Tensor from) {
  assert(to.size() == from.size() && to.dtype == from.dtype);
  kernels::current().copy(to.data, from.data, static_cast<size_t>(from.size() * bytes(from.dtype)));
}

Tensor cast(Tensor x, DType dtype) {
  if (x.dtype == dtype) return x;
  Tensor y = empty(x.rows, x.cols, dtype);
  if (dtype == DType::float64)
    std::copy_n(x.as<float>(), x.size(), y.as<double>());
  else
    std::transform(x.as<double>(), x.as<double>() + x.size(), y.as<float>(),
                   [](double v) { return static_cast<float>(v); });
  return y;
}

Tensor placed(Tensor host) { return kernels::on_cpu() || !host ? host : copy(host); }

Tensor fetched(Tensor x) {
  if (kernels::on_cpu() || !x) return x;
  const Tensor y{Arena::current().allocate(static_cast<size_t>(x.size() * bytes(x.dtype))), x.rows, x.cols, x.dtype};
  fetch(x, y.data);
  return y;
}

void fetch(Tensor x, void* host) {
  kernels::current().copy(host, x.data, static_cast<size_t>(x.size() * bytes(x.dtype)));
}

}  // namespace meander
