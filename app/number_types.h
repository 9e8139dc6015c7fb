#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace meander {

// A type of numbers in files, little-endian: as NumPy names it, as safetensors does, and how n of them become float32.
struct NumberType {
  std::string_view descr, safetensors;  // "<f4", "F32"; empty where there is none
  int64_t width;                        // bytes of one
  void (*convert)(const std::byte* from, int64_t n, float* to);
};

const NumberType* find_npy_type(std::string_view descr);         // nullptr if it is none of ours
const NumberType* find_safetensors_type(std::string_view name);
std::string npy_types();                                         // "<f4 <f8 ...", for messages
std::string safetensors_types();

}  // namespace meander
