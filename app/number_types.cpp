#include <meander/app/number_types.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace meander {

static_assert(std::endian::native == std::endian::little, "numbers are read as they lie in memory");

namespace {

template <class T>
void convert(const std::byte* from, int64_t n, float* to) {
  for (int64_t i = 0; i < n; ++i) {
    T number;
    std::memcpy(&number, from + i * static_cast<int64_t>(sizeof number), sizeof number);
    to[i] = static_cast<float>(number);
  }
}

// IEEE 754's binary16: a sign, 5 bits of exponent, 10 of fraction.
float from_half(uint16_t half) {
  const int exponent = half >> 10 & 31, fraction = half & 1023;
  float number;
  if (exponent == 31) number = fraction ? NAN : INFINITY;
  else if (exponent == 0) number = std::ldexp(static_cast<float>(fraction), -24);
  else number = std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
  return half >> 15 ? -number : number;
}

// The upper half of a float32.
float from_bfloat(uint16_t upper) { return std::bit_cast<float>(static_cast<uint32_t>(upper) << 16); }

template <float (*from_bits)(uint16_t)>
void convert_bits(const std::byte* from, int64_t n, float* to) {
  for (int64_t i = 0; i < n; ++i) {
    uint16_t bits;
    std::memcpy(&bits, from + 2 * i, sizeof bits);
    to[i] = from_bits(bits);
  }
}

constexpr NumberType types[] = {
    {"<f4", "F32", 4, convert<float>},    {"<f8", "F64", 8, convert<double>},
    {"<f2", "F16", 2, convert_bits<from_half>}, {"", "BF16", 2, convert_bits<from_bfloat>},
    {"|b1", "BOOL", 1, convert<uint8_t>}, {"|u1", "U8", 1, convert<uint8_t>},
    {"|i1", "I8", 1, convert<int8_t>},    {"<u2", "U16", 2, convert<uint16_t>},
    {"<i2", "I16", 2, convert<int16_t>},  {"<u4", "U32", 4, convert<uint32_t>},
    {"<i4", "I32", 4, convert<int32_t>},  {"<u8", "U64", 8, convert<uint64_t>},
    {"<i8", "I64", 8, convert<int64_t>},
};

const NumberType* find(std::string_view NumberType::*name, std::string_view wanted) {
  const auto found = std::find_if(std::begin(types), std::end(types),
                                  [&](const NumberType& type) { return !wanted.empty() && type.*name == wanted; });
  return found == std::end(types) ? nullptr : found;
}

std::string listed(std::string_view NumberType::*name) {
  std::string list;
  for (const NumberType& type : types)
    if (!(type.*name).empty()) list += (list.empty() ? "" : " ") + std::string(type.*name);
  return list;
}

}  // namespace

const NumberType* find_npy_type(std::string_view descr) { return find(&NumberType::descr, descr); }
const NumberType* find_safetensors_type(std::string_view name) { return find(&NumberType::safetensors, name); }
std::string npy_types() { return listed(&NumberType::descr); }
std::string safetensors_types() { return listed(&NumberType::safetensors); }

}  // namespace meander
