#pragma once

#include <memory>
#include <string>
#include <vector>

#include <meander/core/safetensors.h>
#include <meander/nn/buffer.h>

namespace meander::bench {

// The numbers the cases work on: those of a safetensors file, which all peers of a comparison read, or normals of
// Philox where there is none. Never zeros, never denormals.
class Data {
 public:
  Data() = default;
  explicit Data(const std::string& path) : file_(std::make_unique<SafetensorsFile>(path)) {}

  const SafetensorsFile* file() const { return file_.get(); }  // or null

  // z -> N(mean, deviation^2)
  static auto normal(double deviation = 1, double mean = 0) {
    return [=](double z) { return mean + deviation * z; };
  }

  // The first `size` numbers of the tensor `name`; without a file size times make(z), z ~ N(0, 1). Throws Error if the
  // file lacks the tensor or has fewer numbers.
  template <class F>
  std::vector<float> values(const std::string& name, int64_t size, F&& make) const {
    std::vector<float> x = read_or_draw(name, size);
    if (!file_)
      for (float& z : x) z = static_cast<float>(make(z));
    return x;
  }
  // The same where the current device reads it.
  template <class F>
  Buffer numbers(const std::string& name, int64_t size, F&& make) const {
    return Buffer(values(name, size, make));
  }
  Buffer normals(const std::string& name, int64_t size, double deviation = 1, double mean = 0) const {
    return numbers(name, size, normal(deviation, mean));
  }

 private:
  std::vector<float> read_or_draw(const std::string& name, int64_t size) const;

  std::unique_ptr<SafetensorsFile> file_;
};

}  // namespace meander::bench
