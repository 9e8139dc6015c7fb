#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "../folder.h"
#include <meander/app/check_line.h>
#include <meander/core/safetensors.h>

// What the tests of verification share.
namespace meander::testing {

inline std::vector<std::string> failing(const std::vector<CheckLine>& lines) {
  std::vector<std::string> names;
  for (const CheckLine& l : lines)
    if (!l.ok()) names.push_back(l.quantity);
  return names;
}

// A copy of `from` with the middle number of `tensor` moved by `by` times the tensor's largest, or without `tensor`.
inline std::string changed(const Folder& folder, const std::string& from, const std::string& tensor, double by,
                           bool leave_out = false) {
  const SafetensorsFile file(from);
  SafetensorsWriter writer;
  std::map<std::string, std::vector<std::byte>> bytes;
  for (const auto& [key, value] : file.metadata()) writer.metadata(key, value);
  for (const auto& [name, t] : file.tensors()) {
    if (name == tensor && leave_out) continue;
    auto& b = bytes[name];
    b.assign(t.data, t.data + t.size() * meander::bytes(t.dtype));
    if (name == tensor) {
      const auto change = [&]<class T>(T* x) {
        const auto n = static_cast<size_t>(t.size());
        T most = 0;
        for (size_t i = 0; i < n; ++i) most = std::max(most, std::abs(x[i]));
        x[n / 2] += static_cast<T>(by) * most;
      };
      if (t.dtype == DType::float64) change(reinterpret_cast<double*>(b.data()));
      else change(reinterpret_cast<float*>(b.data()));
    }
    writer.add(name, t.dtype, t.shape, b.data());
  }
  writer.write(folder.file("changed.safetensors"));
  return folder.file("changed.safetensors");
}

}  // namespace meander::testing
