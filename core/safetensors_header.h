#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include <meander/core/dtype.h>

namespace meander {

// A type of numbers that the format knows.
struct FormatDType {
  const char* name;        // "F32", "BF16", ...
  int64_t bytes;           // of one number
  bool known;              // whether the engine computes with it,
  DType dtype;             // as this type
};
const char* format_name(DType dtype);

// One tensor of a file, its place in bytes from the start of the file.
struct HeaderTensor {
  std::string name;
  const FormatDType* dtype;
  std::vector<int64_t> shape;
  uint64_t begin, end;
};

struct SafetensorsHeader {
  std::map<std::string, std::string> metadata;
  std::vector<HeaderTensor> tensors;  // in the order of their data
};

// Reads the header of a whole file's bytes: 8 bytes little-endian header length, a JSON header {"name": {"dtype",
// "shape", "data_offsets"}, "__metadata__": {...}}, the data. Every byte of the header is checked: length, names that
// stand twice, sizes against shapes, offsets inside the file without overlap or gap. Throws Error that says in one
// line, without the file's name, what is wrong. Takes at most twice the header and 60 MB.
SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file);

}  // namespace meander
