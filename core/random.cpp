#include <meander/core/random.h>

#include <cmath>

namespace meander {

uint32_t Stream::bits() {
  if (used_ == 4) {
    kernels::philox_block(key_, block_++, words_);
    used_ = 0;
  }
  return words_[used_++];
}

double Stream::uniform() {
  const uint64_t high = bits() >> 5, low = bits() >> 6;  // 27 and 26 bits
  return static_cast<double>(high << 26 | low) * 0x1p-53;
}

double Stream::normal() {
  if (has_kept_) {
    has_kept_ = false;
    return kept_;
  }
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
  const double angle = 6.283185307179586 * uniform();
  kept_ = radius * std::sin(angle);
  has_kept_ = true;
  return radius * std::cos(angle);
}

}  // namespace meander
