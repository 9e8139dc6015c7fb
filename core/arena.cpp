#include <meander/core/arena.h>

#include <sys/mman.h>

#include <algorithm>
#include <deque>

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
}  // namespace

Arena::Arena(size_t reserve) {
  // A system that does not overcommit refuses a large reserve: take what it gives.
  for (; reserve >= (size_t{1} << 26); reserve /= 2) {
    void* p = mmap(nullptr, reserve, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) continue;
    base_ = static_cast<std::byte*>(p);
    reserve_ = reserve;
    MEANDER_POISON(base_, std::min(reserve_, size_t{1} << 32));
    return;
  }
  throw Failure("no memory for the arena: the system refused to reserve 64 MiB");
}

Arena::~Arena() {
  MEANDER_UNPOISON(base_, std::min(reserve_, size_t{1} << 32));
  munmap(base_, reserve_);
}

Arena& Arena::current() {
  thread_local Arena arena;
  return arena;
}

void* Arena::allocate(size_t size) {
  const size_t taken = (size + red_zone + alignment - 1) / alignment * alignment;
  if (taken > reserve_ - top_)
    throw Failure(message("the arena is used up: ", size, " more bytes wanted, ", reserve_ - top_, " of ", reserve_,
                          " left"));
  std::byte* p = base_ + top_;
  top_ += taken;
  high_water_ = std::max(high_water_, top_);
  MEANDER_UNPOISON(p, size);
  return p;
}

void Arena::release(size_t mark) {
  MEANDER_POISON(base_ + mark, top_ - mark);
  top_ = mark;
}

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

void* DeviceArena::allocate(size_t size) {
  constexpr size_t alignment = 256, smallest_chunk = size_t{32} << 20;
  size = (size + alignment - 1) / alignment * alignment;
  for (const Chunk& c : chunks_) {
    if (c.end < top_ || c.end - std::max(top_, c.begin) < size) continue;
    const size_t at = std::max(top_, c.begin);
    top_ = at + size;
    return c.data + (at - c.begin);
  }
  const size_t begin = chunks_.empty() ? 0 : chunks_.back().end, length = std::max(size, smallest_chunk);
  chunks_.push_back({static_cast<std::byte*>(device_.allocate(length)), begin, begin + length});
  top_ = begin + size;
  return chunks_.back().data;
}

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
