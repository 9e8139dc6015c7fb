#pragma once

#include <cstdint>

namespace meander {

enum class DType : uint8_t { float32, float64, int32, uint32, uint8 };

constexpr int64_t bytes(DType d) { return d == DType::float64 ? 8 : d == DType::uint8 ? 1 : 4; }
const char* name(DType);  // "float32", ...

template <class T> inline constexpr DType dtype_of = DType::float32;
template <> inline constexpr DType dtype_of<double> = DType::float64;
template <> inline constexpr DType dtype_of<int32_t> = DType::int32;
template <> inline constexpr DType dtype_of<uint32_t> = DType::uint32;
template <> inline constexpr DType dtype_of<uint8_t> = DType::uint8;

}  // namespace meander
