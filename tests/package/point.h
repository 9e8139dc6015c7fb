#pragma once

#include <meander/core/environment.h>

namespace meander {

// One number to be driven to zero in ten steps.
class Point final : public Environment {
 public:
  Point() {
    info_.name = "Point";
    info_.observations = info_.actions = 1;
    info_.action_low = {-1};
    info_.action_high = {1};
    info_.time_limit = 10;
  }
  const EnvironmentInfo& info() const override { return info_; }
  void reset(Stream& random) override { x_ = random.uniform(-1, 1), steps_ = 0; }
  Step step(std::span<const double> action) override {
    x_ += 0.5 * action[0];
    return {-x_ * x_, false, ++steps_ >= 10};
  }
  std::span<const double> observation() const override { return {&x_, 1}; }
  std::vector<double> save() const override { return {x_, double(steps_)}; }
  void load(std::span<const double> state) override { x_ = state[0], steps_ = int(state[1]); }

 private:
  EnvironmentInfo info_;
  double x_ = 0;
  int steps_ = 0;
};

}  // namespace meander
