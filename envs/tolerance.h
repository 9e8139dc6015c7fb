#pragma once

#include <cmath>
#include <limits>

namespace meander {

// Where a quantity should lie, and how its worth falls off outside.
struct Target {
  double low, high = std::numeric_limits<double>::infinity();
  double margin = 0;  // 0: worth nothing outside
  enum Falloff { gaussian, linear, quadratic } falloff = gaussian;
  double at_margin = 0.1;  // the worth at a distance of margin, in (0, 1) for the Gaussian, in [0, 1) otherwise
};

// The worth of x, from which the rewards of the DeepMind Control Suite are put together (Tassa et al. 2018, section 4):
// 1 in [low, high]; with d the distance to the nearer bound over the margin and v the worth at the margin
//   gaussian   v^(d^2)
//   linear     1 - (1 - v) d, not below 0
//   quadratic  1 - (1 - v) d^2, not below 0
inline double tolerance(double x, const Target& target) {
  if (target.low <= x && x <= target.high) return 1;
  if (target.margin == 0) return 0;
  const double distance = (x < target.low ? target.low - x : x - target.high) / target.margin;
  const double v = target.at_margin;
  switch (target.falloff) {
    case Target::gaussian: {
      const double scaled = distance * std::sqrt(-2 * std::log(v));
      return std::exp(-0.5 * scaled * scaled);
    }
    case Target::linear: {
      const double scaled = distance * (1 - v);
      return std::abs(scaled) < 1 ? 1 - scaled : 0;
    }
    case Target::quadratic: {
      const double scaled = distance * std::sqrt(1 - v);
      return std::abs(scaled) < 1 ? 1 - scaled * scaled : 0;
    }
  }
  return 0;
}

}  // namespace meander
