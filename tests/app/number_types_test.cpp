#include <meander/app/number_types.h>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

using namespace meander;

namespace {

template <class T>
std::vector<float> converted(const NumberType* type, const std::vector<T>& values) {
  REQUIRE(type);
  CHECK(type->width == sizeof(T));
  std::vector<float> floats(values.size());
  type->convert(reinterpret_cast<const std::byte*>(values.data()), std::ssize(values), floats.data());
  return floats;
}

using Floats = std::vector<float>;

}  // namespace

TEST_CASE("numbers of every type become float32") {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  // binary16: 1, -2, the smallest and the largest denormal, the smallest normal, the largest, infinity, -0.
  const Floats halves =
      converted<uint16_t>(find_npy_type("<f2"), {0x3c00, 0xc000, 1, 0x03ff, 0x0400, 0x7bff, 0xfc00, 0x8000});
  CHECK(halves == Floats{1, -2, std::ldexp(1.0f, -24), std::ldexp(1023.0f, -24), std::ldexp(1.0f, -14), 65504,
                         -infinity, 0});
  CHECK(std::signbit(halves[7]));
  CHECK(std::isnan(converted<uint16_t>(find_safetensors_type("F16"), {0x7c01})[0]));
  CHECK(converted<uint16_t>(find_safetensors_type("BF16"), {0x3f80, 0xc049, 0x7f80}) ==
        Floats{1, -3.140625f, infinity});
  CHECK(converted<double>(find_safetensors_type("F64"), {0.1, -1e30}) == Floats{0.1f, -1e30f});
  CHECK(converted<int64_t>(find_safetensors_type("I64"), {-5, 1LL << 40}) == Floats{-5, std::ldexp(1.0f, 40)});
  CHECK(converted<uint64_t>(find_npy_type("<u8"), {UINT64_MAX}) == Floats{std::ldexp(1.0f, 64)});
  CHECK(converted<int16_t>(find_npy_type("<i2"), {-300}) == Floats{-300});
  CHECK(converted<uint8_t>(find_safetensors_type("BOOL"), {0, 1, 7}) == Floats{0, 1, 7});
  CHECK(converted<int8_t>(find_npy_type("|i1"), {-1}) == Floats{-1});
  for (const char* none : {"", "F8_E4M3", ">f4", "|O", "<c8"}) {
    CHECK(find_npy_type(none) == nullptr);
    CHECK(find_safetensors_type(none) == nullptr);
  }
}
