#include <meander/core/dtype.h>

namespace meander {

const char* name(DType d) {
  switch (d) {
    case DType::float32: return "float32";
    case DType::float64: return "float64";
    case DType::int32: return "int32";
    case DType::uint32: return "uint32";
    case DType::uint8: return "uint8";
  }
  return "unknown dtype";
}

}  // namespace meander
