#pragma once

#include <zip.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace meander {

// An array of a file, its numbers as float32 whatever they are there.
struct FloatArray {
  std::vector<int64_t> shape;
  std::vector<float> values;  // row-major
};
std::string shape_text(const std::vector<int64_t>& shape);  // "[3, 2]"

// What the header of an array in NumPy's format NPY says.
struct NpyHeader {
  std::string descr;  // the type of its numbers: "<f4", "|b1", ...
  bool fortran_order = false;
  std::vector<int64_t> shape;
};
// Reads the header's text, {'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }. Throws Error, without the
// file's name, at the first byte that is not as numpy.lib.format describes.
NpyHeader parse_npy_header(std::string_view text);

// NumPy's NPZ opened for reading: a zip archive with an array NAME.npy for each name, stored or deflated. libzip reads
// the archive, and compares each array with its checksum.
class NpzFile {
 public:
  explicit NpzFile(const std::string& path);  // throws Error if it is not there or not a zip archive

  bool contains(const std::string& name) const;
  // Numbers may be float32, float64, bool, int8 (u or i), int32 or int64, little-endian, in C order. Throws Error with
  // the file and the array if they are not, or the array is absent or damaged.
  FloatArray read(const std::string& name) const;

 private:
  struct Close {
    void operator()(zip_t* archive) const { zip_discard(archive); }
  };
  std::string path_;
  uint64_t length_;
  std::unique_ptr<zip_t, Close> archive_;
};

// Collects arrays (by reference: the memory must live until write) and writes them, stored: numbers of a simulation
// hardly deflate. The same arrays give the same bytes.
class NpzWriter {
 public:
  void add(std::string name, const std::vector<int64_t>& shape, const float* data);
  void add_bool(std::string name, const std::vector<int64_t>& shape, const uint8_t* data);  // 0 or 1 each
  // Writes beside `path` and renames over it. Throws Failure, and leaves the old file and no temporary one.
  void write(const std::string& path) const;

 private:
  struct Member {
    std::string name, header;
    const void* data;
    uint64_t bytes;
  };
  void add(std::string name, const char* descr, int64_t width, const std::vector<int64_t>& shape, const void* data);
  std::vector<Member> members_;
};

}  // namespace meander
