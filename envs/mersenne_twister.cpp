#include <meander/envs/mersenne_twister.h>

#include <cmath>

namespace meander {

MersenneTwister::MersenneTwister(uint32_t seed) {
  state_[0] = seed;
  for (uint32_t i = 1; i < state_.size(); ++i)
    state_[i] = 1812433253u * (state_[i - 1] ^ (state_[i - 1] >> 30)) + i;
}

void MersenneTwister::refill() {
  const size_t n = state_.size();
  for (size_t i = 0; i < n; ++i) {
    const uint32_t joined = (state_[i] & 0x80000000u) | (state_[(i + 1) % n] & 0x7fffffffu);
    state_[i] = state_[(i + 397) % n] ^ (joined >> 1) ^ (joined & 1 ? 0x9908b0dfu : 0);
  }
  used_ = 0;
}

uint32_t MersenneTwister::bits() {
  if (used_ == state_.size()) refill();
  uint32_t word = state_[used_++];
  word ^= word >> 11;
  word ^= (word << 7) & 0x9d2c5680u;
  word ^= (word << 15) & 0xefc60000u;
  return word ^ (word >> 18);
}

double MersenneTwister::uniform() {
  const uint32_t high = bits() >> 5, low = bits() >> 6;  // 27 and 26 bits
  return (high * 67108864.0 + low) / 9007199254740992.0;
}

double MersenneTwister::normal() {
  if (has_kept_) {
    has_kept_ = false;
    return kept_;
  }
  double x, y, square;
  do {
    x = 2 * uniform() - 1;
    y = 2 * uniform() - 1;
    square = x * x + y * y;
  } while (square >= 1 || square == 0);
  const double scale = std::sqrt(-2 * std::log(square) / square);
  kept_ = scale * x;
  has_kept_ = true;
  return scale * y;
}

}  // namespace meander
