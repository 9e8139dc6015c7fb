#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <meander/core/dtype.h>
#include <meander/core/file_bytes.h>
#include <meander/core/safetensors_header.h>

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

// A safetensors file opened for reading (memory-mapped). All that its header says is checked
// (parse_safetensors_header): a missing, truncated or damaged file throws Error with the path and what is wrong, in one
// line. A tensor of a dtype that DType lacks (I64, BOOL, F16, ...) stands in header() but is not offered: asking for it
// throws Error.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(std::string path);
  // Of bytes in memory, which must live as long; `name` is what errors call it.
  SafetensorsFile(std::span<const std::byte> bytes, std::string name);

  const std::string& path() const { return path_; }
  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }
  const std::string& metadata(const std::string& key) const;  // throws Error if absent
  const std::map<std::string, FileTensor>& tensors() const { return tensors_; }
  bool contains(const std::string& name) const { return tensors_.contains(name); }
  const FileTensor& at(const std::string& name) const;         // throws Error if absent
  // The values of `name`; throws Error if it is absent, of another dtype, or has another number of elements
  // (expected < 0: any).
  template <class T>
  std::span<const T> values(const std::string& name, int64_t expected = -1) const;

  const SafetensorsHeader& header() const { return header_; }
  // The bytes of one of header()'s tensors, aligned or not.
  std::span<const std::byte> bytes(const HeaderTensor& tensor) const {
    return bytes_.subspan(tensor.begin, tensor.end - tensor.begin);
  }
  bool is_mapped() const { return file_.has_value(); }  // so that forget() may be told of its bytes

 private:
  void index();

  std::string path_;
  std::optional<FileBytes> file_;
  std::span<const std::byte> bytes_;
  SafetensorsHeader header_;
  std::map<std::string, FileTensor> tensors_;
  std::vector<std::unique_ptr<std::byte[]>> realigned_;      // copies of tensors that lie unaligned in the file
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
