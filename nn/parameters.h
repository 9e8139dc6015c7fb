#pragma once

#include <string>
#include <vector>

#include <meander/core/random.h>
#include <meander/core/safetensors.h>
#include <meander/nn/buffer.h>

namespace meander {

// How a parameter starts: xavier_uniform U(+-sqrt(6 / (in + out))) (Glorot and Bengio 2010), which is also variance
// scaling (1, fan average, uniform); fan_in_uniform U(+-1 / sqrt(in)), PyTorch's; frequency N(0, 0.2^2).
enum class Initial { zero, one, xavier_uniform, fan_in_uniform, frequency };

// One named parameter inside a network's flat buffer.
struct ParameterInfo {
  std::string name;             // "dense_0/kernel"
  std::vector<int64_t> shape;   // a kernel is [in, out]
  int64_t offset;
  Initial initial;
  int64_t fan_in;               // of the layer it belongs to, where that matters
  int64_t size() const;
};

// The names, shapes and places of a network's parameters in one flat buffer.
class ParameterLayout {
 public:
  // Appends a parameter; -> its offset in the buffer, in floats.
  int64_t add(std::string name, std::vector<int64_t> shape, Initial initial, int64_t fan_in = 0);
  int64_t size() const { return size_; }
  const std::vector<ParameterInfo>& entries() const { return entries_; }

  void initialise(float* flat, Stream random) const;   // in memory of the host
  void initialise(Buffer& flat, Stream random) const {
    std::vector<float> numbers(static_cast<size_t>(size_));
    initialise(numbers.data(), random);
    flat.set(numbers.data());
  }
  // Adds each parameter as PREFIX + NAME; `flat` must live until the file is written.
  void save(SafetensorsWriter& file, const std::string& prefix, const float* flat) const;
  // Throws Error, with the file's path, if a tensor is missing, has another shape or dtype, or holds a number that is
  // not finite or below `least`; nothing is read then.
  void load(const SafetensorsFile& file, const std::string& prefix, float* flat, double least = -1e300) const;

 private:
  std::vector<ParameterInfo> entries_;
  int64_t size_ = 0;
};

}  // namespace meander
