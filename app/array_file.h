#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <meander/app/hdf5_file.h>
#include <meander/app/npz_file.h>

namespace meander {

// A file of named arrays, whatever its format.
class ArrayFile {
 public:
  virtual ~ArrayFile() = default;
  // The shape of an array, checked against the bytes that are stored, or nothing if there is none of that name. Throws
  // Error with the file and the array if it is damaged or not of numbers that can be read.
  virtual std::optional<std::vector<int64_t>> shape(const std::string& name) const = 0;
  // Its numbers as float32, one piece after another.
  virtual void read(const std::string& name, const TakeFloats& take) const = 0;
  // The environment that the file says it is of; or "".
  virtual std::string environment() const = 0;
};

// All numbers of an array, in memory for `room` of them.
std::vector<float> read_floats(const ArrayFile& file, const std::string& name, int64_t room);

// FILE.npz or FILE.safetensors by the ending of its name. Throws Error with the path if it is damaged or neither.
std::unique_ptr<ArrayFile> open_array_file(const std::string& path);
// The same of bytes in memory, which must live as long.
std::unique_ptr<ArrayFile> open_array_file(std::span<const std::byte> bytes, const std::string& name);

// An HDF5 file of arrays beside each other; an attribute `environment` of its own is what its environment is.
std::unique_ptr<ArrayFile> hdf5_arrays(std::unique_ptr<Hdf5File> file);

}  // namespace meander
