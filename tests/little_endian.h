#pragma once

#include <cstdint>
#include <string>

namespace meander {

// A number's lowest `bytes` bytes, the lowest first, as files hold it.
inline std::string little(uint64_t x, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(x >> 8 * i & 0xff);
  return text;
}

}  // namespace meander
