#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <meander/core/tensor.h>
#include <meander/kernels/device.h>

namespace meander {

// Numbers that live as long as their owner, on the device that was current when it was made: parameters, moments.
// 64-byte aligned, zero at first.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t size) : size_(size), device_(&kernels::current()) {
    const size_t length = (static_cast<size_t>(size) * sizeof(float) + 63) / 64 * 64;
    data_ = static_cast<float*>(device_->allocate(length));
    device_->fill(data_, 0, length);
  }
  explicit Buffer(std::span<const float> numbers) : Buffer(std::ssize(numbers)) { set(numbers.data()); }
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Buffer() {
    if (data_) device_->deallocate(data_);
  }

  float* data() { return data_; }                // of the device
  const float* data() const { return data_; }
  int64_t size() const { return size_; }
  Tensor tensor() const { return view(data_, 1, size_); }  // [1, size]

  // From and to memory of the host.
  void set(const float* numbers) { device_->copy(data_, numbers, bytes()); }
  void get(float* numbers) const { device_->copy(numbers, data_, bytes()); }
  std::vector<float> numbers() const {
    std::vector<float> x(static_cast<size_t>(size_));
    get(x.data());
    return x;
  }
  void copy_from(const Buffer& other) { device_->copy(data_, other.data_, bytes()); }   // of the same size and device

 private:
  size_t bytes() const { return static_cast<size_t>(size_) * sizeof(float); }
  void swap(Buffer& other) noexcept {
    std::swap(data_, other.data_), std::swap(size_, other.size_), std::swap(device_, other.device_);
  }

  float* data_ = nullptr;
  int64_t size_ = 0;
  const kernels::DeviceKernels* device_ = nullptr;
};

}  // namespace meander
