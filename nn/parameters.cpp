#include <meander/nn/parameters.h>

#include <algorithm>
#include <cmath>

#include <meander/core/file_numbers.h>
#include <meander/kernels/error.h>

namespace meander {

int64_t ParameterInfo::size() const {
  int64_t n = 1;
  for (int64_t d : shape) n *= d;
  return n;
}

int64_t ParameterLayout::add(std::string name, std::vector<int64_t> shape, Initial initial, int64_t fan_in) {
  entries_.push_back({std::move(name), std::move(shape), size_, initial, fan_in});
  size_ += entries_.back().size();
  return entries_.back().offset;
}

void ParameterLayout::initialise(float* flat, Stream random) const {
  for (const ParameterInfo& p : entries_) {
    double bound = 0;
    if (p.initial == Initial::xavier_uniform) bound = std::sqrt(6.0 / double(p.shape[0] + p.shape[1]));
    if (p.initial == Initial::fan_in_uniform) bound = 1.0 / std::sqrt(double(p.fan_in));
    for (int64_t i = 0; i < p.size(); ++i) {
      double x = 0;
      if (p.initial == Initial::one) x = 1;
      if (bound > 0) x = random.uniform(-bound, bound);
      if (p.initial == Initial::frequency) x = 0.2 * random.normal();
      flat[p.offset + i] = static_cast<float>(x);
    }
  }
}

void ParameterLayout::save(SafetensorsWriter& file, const std::string& prefix, const float* flat) const {
  for (const ParameterInfo& p : entries_) file.add(prefix + p.name, p.shape, flat + p.offset);
}

void ParameterLayout::load(const SafetensorsFile& file, const std::string& prefix, float* flat, double least) const {
  // Everything is checked before the first number changes.
  for (const ParameterInfo& p : entries_) {
    const std::string name = prefix + p.name;
    file.values<float>(name, p.size());
    if (file.at(name).shape != p.shape)
      throw Error(message(file.path(), ": ", name, " has another shape than this network's"));
    expect_finite(file.path() + ": tensor " + name, file.values<float>(name), least);
  }
  for (const ParameterInfo& p : entries_)
    std::ranges::copy(file.values<float>(prefix + p.name), flat + p.offset);
}

}  // namespace meander
