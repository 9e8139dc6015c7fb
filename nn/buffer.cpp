#include <meander/nn/buffer.h>

#include <meander/kernels/device.h>

namespace meander {
namespace {
size_t bytes(int64_t size) { return static_cast<size_t>(size) * sizeof(float); }
}  // namespace

Buffer::Buffer(int64_t size) : size_(size), device_(&kernels::current()) {
  const size_t whole_lines = (bytes(size) + 63) / 64 * 64;
  data_ = static_cast<float*>(device_->allocate(whole_lines));
  device_->fill(data_, 0, whole_lines);
}

Buffer::~Buffer() {
  if (data_) device_->deallocate(data_);
}

void Buffer::set(const float* numbers) { device_->copy(data_, numbers, bytes(size_)); }
void Buffer::get(float* numbers) const { device_->copy(numbers, data_, bytes(size_)); }
void Buffer::copy_from(const Buffer& other) { device_->copy(data_, other.data_, bytes(size_)); }

std::vector<float> Buffer::numbers() const {
  std::vector<float> x(static_cast<size_t>(size_));
  get(x.data());
  return x;
}

}  // namespace meander
