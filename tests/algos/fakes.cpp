#include "fakes.h"

// The library sees environments only through their interface; its part that is code lives with the environments, which
// this program does without.
meander::Step meander::Environment::act(std::span<const float> action) {
  scaled_.resize(action.size());
  for (size_t i = 0; i < action.size(); ++i)
    scaled_[i] = info().action_high[i] * std::fmax(-1.0, std::fmin(1.0, static_cast<double>(action[i])));
  return step(scaled_);
}
