#pragma once

// A safetensors file with a few things changed.

#include <cstring>
#include <map>
#include <string>
#include <vector>

#include <meander/core/safetensors.h>

namespace meander {

class Altered {
 public:
  explicit Altered(const std::string& path) : file_(path), metadata(file_.metadata()) {
    for (const auto& [name, tensor] : file_.tensors()) {
      const auto size = static_cast<size_t>(tensor.size() * bytes(tensor.dtype));
      data_[name].resize(size + 1);  // never null
      if (size > 0) std::memcpy(data_[name].data(), tensor.data, size);
    }
  }
  // The numbers of a tensor, to be changed.
  template <class T>
  std::span<T> values(const std::string& name) {
    return {reinterpret_cast<T*>(data_.at(name).data()), file_.values<T>(name).size()};
  }
  void write(const std::string& path) const {
    SafetensorsWriter writer;
    for (const auto& [key, value] : metadata) writer.metadata(key, value);
    for (const auto& [name, tensor] : file_.tensors())
      writer.add(name, tensor.dtype, tensor.shape, data_.at(name).data());
    writer.write(path);
  }

 private:
  SafetensorsFile file_;
  std::map<std::string, std::vector<std::byte>> data_;

 public:
  std::map<std::string, std::string> metadata;
};

}  // namespace meander
