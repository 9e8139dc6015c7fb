#include <meander/envs/pendulum.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include <meander/kernels/error.h>

namespace meander {
namespace {

constexpr double pi = std::numbers::pi;
constexpr double interval = 0.05;  // s
constexpr double greatest_torque = 2, greatest_velocity = 8;

// The angle in [-pi, pi).
double wrap(double angle) {
  double turned = std::fmod(angle + pi, 2 * pi);
  if (turned < 0) turned += 2 * pi;
  return turned - pi;
}

// x rounded to float32. Through memory: GCC 12 at -O2 otherwise drops the rounding of a sine and cosine side by side.
double to_float32(double x) {
  volatile float rounded = static_cast<float>(x);
  return rounded;
}

}  // namespace

Pendulum::Pendulum(const std::string& name) {
  info_.name = name;
  info_.observations = 3;
  info_.actions = 1;
  info_.action_low = {-greatest_torque};
  info_.action_high = {greatest_torque};
  info_.time_limit = 200;
  // A step's reward lies in [-16.3, 0], so with a discount of .99 a return lies in [-1630, 0]; the room above 0 is for
  // the entropy bonus.
  info_.v_min = -1650;
  info_.v_max = 50;
  observe();
}

void Pendulum::reset(Stream& random) {
  angle_ = random.uniform(-pi, pi);
  velocity_ = random.uniform(-1, 1);
  steps_ = 0;
  observe();
}

Step Pendulum::step(std::span<const double> action) {
  check_action(action);
  const double torque = std::clamp(action[0], -greatest_torque, greatest_torque);
  const double from_upright = wrap(angle_);
  const double cost = from_upright * from_upright + 0.1 * velocity_ * velocity_ + 0.001 * torque * torque;
  const double pushed = velocity_ + (15 * std::sin(angle_) + 3 * torque) * interval;
  velocity_ = std::clamp(pushed, -greatest_velocity, greatest_velocity);
  angle_ += velocity_ * interval;
  ++steps_;
  observe();
  return {.reward = -cost, .terminated = false, .truncated = steps_ >= info_.time_limit};
}

std::vector<double> Pendulum::save() const { return {angle_, velocity_, static_cast<double>(steps_)}; }

void Pendulum::load(std::span<const double> state) {
  check_state(state, 3);
  steps_ = steps_in_state(state[2]);
  angle_ = state[0];
  velocity_ = state[1];
  observe();
}

void Pendulum::observe() {
  observation_ = {to_float32(std::cos(angle_)), to_float32(std::sin(angle_)), to_float32(velocity_)};
}

}  // namespace meander
