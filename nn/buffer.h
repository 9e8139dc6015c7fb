#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <meander/core/tensor.h>

namespace meander::kernels { struct DeviceKernels; }

namespace meander {

// Numbers that live as long as their owner, on the device that was current when it was made: parameters, moments.
// 64-byte aligned, zero at first.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t size);
  explicit Buffer(std::span<const float> numbers) : Buffer(std::ssize(numbers)) { set(numbers.data()); }
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Buffer();

  float* data() { return data_; }                // of the device
  const float* data() const { return data_; }
  int64_t size() const { return size_; }
  Tensor tensor() const { return view(data_, 1, size_); }  // [1, size]

  // From and to memory of the host, size() numbers; they wait for the device.
  void set(const float* numbers);
  void get(float* numbers) const;
  std::vector<float> numbers() const;
  void copy_from(const Buffer& other);           // of the same size and device

 private:
  void swap(Buffer& other) noexcept {
    std::swap(data_, other.data_), std::swap(size_, other.size_), std::swap(device_, other.device_);
  }

  float* data_ = nullptr;
  int64_t size_ = 0;
  const kernels::DeviceKernels* device_ = nullptr;
};

}  // namespace meander
