#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace meander {

// MT19937 (Matsumoto and Nishimura 1998) with the draws of NumPy's RandomState: what decides the initial states of
// packages whose resets are reproduced from a seed. The engine's own numbers come from Stream.
class MersenneTwister {
 public:
  explicit MersenneTwister(uint32_t seed);
  uint32_t bits();
  double uniform();  // 53 bits, in [0, 1)
  double normal();   // Marsaglia's polar method; of each pair the second value is kept for the next call

 private:
  void refill();

  std::array<uint32_t, 624> state_;
  std::size_t used_ = 624;
  double kept_ = 0;
  bool has_kept_ = false;
};

}  // namespace meander
