#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "core/tensor.h"

namespace meander {

// Numbers that live as long as their owner: parameters, moments. 64-byte aligned, zero at first.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t size) : size_(size) {
    const size_t length = (static_cast<size_t>(size) * sizeof(float) + 63) / 64 * 64;
    data_.reset(static_cast<float*>(std::aligned_alloc(64, length)));
    if (!data_) throw std::bad_alloc();
    std::memset(data_.get(), 0, length);
  }
  float* data() { return data_.get(); }
  const float* data() const { return data_.get(); }
  int64_t size() const { return size_; }
  Tensor tensor() const { return view(data_.get(), 1, size_); }  // [1, size]

 private:
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };
  std::unique_ptr<float[], Free> data_;
  int64_t size_ = 0;
};

}  // namespace meander
