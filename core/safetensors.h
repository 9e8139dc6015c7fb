#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <meander/core/dtype.h>

namespace meander {

// One tensor of a file. The bytes stay valid as long as the file object.
struct FileTensor {
  DType dtype;
  std::vector<int64_t> shape;
  const std::byte* data = nullptr;

  int64_t size() const;  // number of elements
  template <class T>
  std::span<const T> as() const { return {reinterpret_cast<const T*>(data), static_cast<size_t>(size())}; }
};

// A safetensors file opened for reading (memory-mapped). Layout: 8 bytes little-endian header length, a JSON header
// {"name": {"dtype", "shape", "data_offsets"}, "__metadata__": {...}}, the data.
// Every byte of the header is checked (length, offsets inside the file, sizes against shapes, no overlap, no gap): a
// missing, truncated or damaged file throws Error with the path and what is wrong, in one line.
// A tensor of a dtype that DType lacks (I64, BOOL, F16, ...) is checked too, but not offered: asking for it
// throws Error.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(std::string path);
  ~SafetensorsFile();
  SafetensorsFile(SafetensorsFile&&) noexcept;
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;

  const std::string& path() const { return path_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::string& metadata(const std::string& key) const;  // throws Error if absent
  const std::map<std::string, FileTensor>& tensors() const { return tensors_; }
  bool contains(const std::string& name) const { return tensors_.contains(name); }
  const FileTensor& at(const std::string& name) const;         // throws Error if absent
  // The values of `name`; throws Error if it is absent, of another dtype, or has another number of elements
  // (expected < 0: any).
  template <class T>
  std::span<const T> values(const std::string& name, int64_t expected = -1) const;

 private:
  void read_header();

  std::string path_;
  std::map<std::string, std::string> metadata_;
  std::map<std::string, FileTensor> tensors_;
  std::map<std::string, std::string> refused_;               // name -> dtype of the tensors not offered
  std::vector<std::unique_ptr<std::byte[]>> realigned_;      // copies of tensors that lie unaligned in the file
  void* mapping_ = nullptr;
  size_t length_ = 0;
};

// Collects tensors (by reference: the memory must live until write) and writes them.
class SafetensorsWriter {
 public:
  void metadata(std::string key, std::string value);
  // Throws Error if `name` was added before or a dimension is negative.
  void add(std::string name, DType dtype, std::vector<int64_t> shape, const void* data);
  template <class T>
  void add(std::string name, std::vector<int64_t> shape, const T* data) {
    add(std::move(name), dtype_of<T>, std::move(shape), static_cast<const void*>(data));
  }
  // Writes it in the place of `path` (core/replacement.h); `last_check` is called before it takes that, and may throw.
  // Throws Failure (disk full, not writable, ...).
  void write(const std::string& path, const std::function<void()>& last_check = {}) const;

 private:
  struct Entry {
    std::string name;
    DType dtype;
    std::vector<int64_t> shape;
    const void* data;
  };
  std::map<std::string, std::string> metadata_;
  std::vector<Entry> entries_;
};

}  // namespace meander
