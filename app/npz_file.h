#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <meander/app/npy_header.h>
#include <meander/app/zip_directory.h>
#include <meander/core/file_bytes.h>

namespace meander {

// An array of a file, its numbers as float32 whatever they are there.
struct FloatArray {
  std::vector<int64_t> shape;
  std::vector<float> values;  // row-major
};
std::string shape_text(const std::vector<int64_t>& shape);  // "[3, 2]"

// Takes the numbers of an array one piece after another.
using TakeFloats = std::function<void(std::span<const float>)>;

// NumPy's NPZ opened for reading: a zip archive with an array NAME.npy for each name, stored or deflated, each with a
// checksum, which is compared. Nothing is allocated by what the file says of itself: an array's numbers are handed over
// in pieces, and their sizes are checked before against what is stored.
class NpzFile {
 public:
  explicit NpzFile(const std::string& path);  // throws Error as FileBytes and parse_zip_directory do, with the path
  // Of bytes in memory, which must live as long; `name` is what errors call it.
  NpzFile(std::span<const std::byte> bytes, std::string name);

  bool contains(const std::string& name) const { return members_.contains(name); }
  // The shape of an array. Throws Error with the file and the array if it is absent or damaged, or if its numbers
  // cannot be read: they may be floats of 16 to 64 bits, integers of 8 to 64 and bool, little-endian, in C order.
  std::vector<int64_t> shape(const std::string& name) const;
  void read(const std::string& name, const TakeFloats& take) const;
  // All at once; throws Error too if they take more memory than may be taken (core/memory_limit.h).
  FloatArray read(const std::string& name) const;
  // A text of up to 200 characters that NumPy wrote ("<U11" of shape ()), others than ASCII's as '?'; or nothing.
  std::optional<std::string> text(const std::string& name) const;

 private:
  struct Array;
  template <class F>
  auto with(const std::string& name, F&& f) const;

  std::string path_;
  std::optional<FileBytes> file_;
  std::map<std::string, ZipMember> members_;
};

// Collects arrays (by reference: the memory must live until write) and writes them, stored: numbers of a simulation
// hardly deflate. The same arrays give the same bytes.
class NpzWriter {
 public:
  void add(std::string name, const std::vector<int64_t>& shape, const float* data);
  void add_bool(std::string name, const std::vector<int64_t>& shape, const uint8_t* data);  // 0 or 1 each
  // An array of no dimension that holds a text of ASCII characters; it is kept.
  void add_text(std::string name, const std::string& text);
  // Writes beside `path` and renames over it. Throws Failure, and leaves the old file and no temporary one.
  void write(const std::string& path) const;

 private:
  struct Member {
    std::string name, header;
    const void* data;
    uint64_t bytes;
  };
  void add(std::string name, const std::string& descr, int64_t width, const std::vector<int64_t>& shape,
           const void* data);
  std::vector<Member> members_;
};

}  // namespace meander
