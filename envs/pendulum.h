#pragma once

#include <array>

#include <meander/core/environment.h>

namespace meander {

// Gymnasium's Pendulum-v1: swing a rod up and hold it, torque in [-2, 2]; needs no MuJoCo.
//   reward = -(wrap(theta)^2 + 0.1 w^2 + 0.001 u^2), of the state before the step
//   w     <- clip(w + (15 sin theta + 3 u) 0.05, +-8),  theta <- theta + 0.05 w
// Observation cos theta, sin theta, w, rounded to float32 as the package does. Never terminates; 200 steps.
class Pendulum final : public Environment {
 public:
  explicit Pendulum(const std::string& name);
  const EnvironmentInfo& info() const override { return info_; }
  void reset(Stream& random) override;  // theta uniform +-pi, w uniform +-1
  Step step(std::span<const double> action) override;
  std::span<const double> observation() const override { return observation_; }
  std::vector<double> save() const override;            // theta, w, steps taken
  void load(std::span<const double> state) override;

 private:
  void observe();

  EnvironmentInfo info_;
  double angle_ = 0;     // rad, 0 upright, not wrapped
  double velocity_ = 0;  // rad/s
  int steps_ = 0;
  std::array<double, 3> observation_{};
};

}  // namespace meander
