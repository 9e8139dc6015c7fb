#include <meander/envs/robomimic_script.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace meander {
namespace {

constexpr double pi = std::numbers::pi;
constexpr double gain = 1.2, most_turn = 0.6;     // of what is missing; of an action
constexpr double metres_of_one = 0.05;            // what a displacement of 1 asks for
constexpr double smoothing = 0.7;                 // of the noise, from step to step
// Towards the end of the handle: nearer to the nut the fingers land on its ring.
constexpr double grasp_from_centre = 0.064;       // m

double nearest_turn(double angle, double period) { return angle - period * std::round(angle / period); }

Matrix3 rotation_of(std::span<const float> xyzw) {
  const double x = xyzw[0], y = xyzw[1], z = xyzw[2], w = xyzw[3], n = 2 / (x * x + y * y + z * z + w * w);
  return {1 - n * (y * y + z * z), n * (x * y - z * w), n * (x * z + y * w),
          n * (x * y + z * w), 1 - n * (x * x + z * z), n * (y * z - x * w),
          n * (x * z - y * w), n * (y * z + x * w), 1 - n * (x * x + y * y)};
}

using Point = std::array<double, 3>;
Point plus(const Point& a, double x, double y, double z) { return {a[0] + x, a[1] + y, a[2] + z}; }
double distance(double dx, double dy, double dz = 0) { return std::sqrt(dx * dx + dy * dy + dz * dz); }

}  // namespace

RobomimicScript::RobomimicScript(RobomimicTask task, Stream random, double noise, double spread)
    : task_(task), random_(random), noise_(noise) {
  height_ = 0.08 + spread * random_.uniform(-0.03, 0.03);
  fastest_ = 1 - spread * random_.uniform(0, 0.5);
  for (double& x : off_) x = spread * random_.uniform(-0.006, 0.006);
  closing_ = 7 + static_cast<int>(spread * std::floor(5 * random_.uniform()));
}

std::array<double, Robomimic::actions> RobomimicScript::act(std::span<const float> observation) {
  std::copy_n(observation.begin(), 3, hand_.begin());
  hand_rotation_ = rotation_of(observation.subspan(3, 4));
  const std::span<const float> object = observation.subspan(task_ == RobomimicTask::lift ? 9 : 16, 7);
  std::copy_n(object.begin(), 3, object_.begin());
  object_rotation_ = rotation_of(object.subspan(3));

  ++steps_;
  const Wish wish = task_ == RobomimicTask::lift ? lift() : task_ == RobomimicTask::can ? can() : square();
  std::array<double, Robomimic::actions> action;
  for (int i = 0; i < 3; ++i) action[i] = gain * (wish.target[i] - hand_[i]) / metres_of_one;
  // Upright again: the cross product of the tool's axis with the downward one; then what is to turn about it.
  action[3] = -hand_rotation_[5];
  action[4] = hand_rotation_[2];
  action[5] = gain * wish.yaw;
  for (int i = 0; i < 6 && noise_ > 0; ++i) {
    smooth_[i] = smoothing * smooth_[i] + (1 - smoothing) * noise_ * random_.normal();
    action[i] += smooth_[i];
  }
  for (int i = 0; i < 6; ++i) {
    const double most = i < 3 ? fastest_ : most_turn;
    action[i] = std::clamp(action[i], -most, most);
  }
  action[6] = phase_ >= Phase::grasp && phase_ < Phase::release ? 1 : -1;
  return action;
}

void RobomimicScript::enter(Phase phase) {
  phase_ = phase;
  steps_ = 0;
}

bool RobomimicScript::is_near(const Point& target, double most) const {
  return distance(target[0] - hand_[0], target[1] - hand_[1], target[2] - hand_[2]) < most;
}
bool RobomimicScript::is_over(const Point& target, double most) const {
  return distance(target[0] - hand_[0], target[1] - hand_[1]) < most;
}
double RobomimicScript::heading() const { return std::atan2(hand_rotation_[4], hand_rotation_[1]); }
double RobomimicScript::object_yaw() const { return std::atan2(object_rotation_[3], object_rotation_[0]); }

std::optional<RobomimicScript::Wish> RobomimicScript::fetch(const Approach& a) {
  if (phase_ == Phase::above) {
    const bool there = is_over(a.above, a.over) && std::abs(a.yaw) < a.turned && hand_[2] - a.above[2] < a.too_high;
    if (!there) return Wish{a.above, a.yaw};
    enter(Phase::descend);
  }
  if (phase_ == Phase::descend) {
    if (!is_near(a.grasp, a.near) && steps_ <= a.patience) return Wish{a.grasp, a.yaw};
    enter(Phase::grasp);
  }
  if (phase_ == Phase::grasp) {
    if (steps_ <= closing_) return Wish{a.closing, 0};
    enter(Phase::raise);
  }
  return {};
}

RobomimicScript::Wish RobomimicScript::lift() {
  const Point grasp = plus(object_, off_[0], off_[1], off_[2]);
  if (const auto wish = fetch({.above = plus(object_, off_[0], off_[1], height_), .grasp = grasp, .closing = grasp,
                               .yaw = nearest_turn(object_yaw() - heading(), pi / 2), .over = 0.008, .turned = 0.1,
                               .too_high = 0.03, .near = 0.007, .patience = 25}))
    return *wish;
  if (steps_ > 15 && object_[2] < 0.83) enter(Phase::above);  // missed
  return {plus(hand_, 0, 0, metres_of_one), 0};
}

RobomimicScript::Wish RobomimicScript::can() {
  const double goal_x = Robomimic::bin[0] + 3 * off_[0], goal_y = Robomimic::bin[1] + 3 * off_[1];
  const double high = 1.03 + height_ / 2;
  // Where the hand is when the can is over the goal.
  const double x = goal_x + hand_[0] - object_[0], y = goal_y + hand_[1] - object_[1];
  if (const auto wish = fetch({.above = plus(object_, 0, 0, height_ + 0.03),
                               .grasp = plus(object_, off_[0], off_[1], 0.01 + off_[2]), .closing = hand_, .over = 0.01,
                               .turned = pi, .too_high = 0.04, .near = 0.008, .patience = 30}))
    return *wish;
  switch (phase_) {
    case Phase::raise:
      if (object_[2] > 0.97) {
        enter(Phase::carry);
      } else {
        if (steps_ > 20 && object_[2] < 0.9) enter(Phase::above);  // missed
        return {{hand_[0], hand_[1], high}, 0};
      }
      [[fallthrough]];
    case Phase::carry:
      if (distance(goal_x - object_[0], goal_y - object_[1]) < 0.03) {
        enter(Phase::lower);
      } else {
        if (object_[2] < 0.9) enter(Phase::above);  // dropped
        return {{x, y, high}, 0};
      }
      [[fallthrough]];
    case Phase::lower:
      if (object_[2] < 0.915 || steps_ > 25) enter(Phase::release);
      else return {{x, y, hand_[2] + (0.90 + off_[2] - object_[2])}, 0};
      [[fallthrough]];
    case Phase::release:
      if (steps_ <= 4) return hold();
      enter(Phase::leave);
      [[fallthrough]];
    default: return {plus(hand_, 0, 0, metres_of_one), 0};
  }
}

// Which way round to grasp, and where the handle points at the end (not away from the arm's base, out of its reach), by
// how far the hand has to turn.
RobomimicScript::Plan RobomimicScript::plan_nut(double nut) const {
  Plan best{};
  double least = std::numeric_limits<double>::infinity();
  for (const double way : {0.0, pi})
    for (const double end : {pi / 2, pi, -pi / 2}) {
      const double first = nearest_turn(nut + pi / 2 + way - heading(), 2 * pi);
      const double last = first + nearest_turn(end - nut, 2 * pi);
      const double cost = std::max(std::abs(first), std::abs(last)) + 0.1 * std::abs(last - first);
      if (cost < least) {
        least = cost;
        best = {pi / 2 + way, end};
      }
    }
  return best;
}

RobomimicScript::Wish RobomimicScript::square() {
  const double nut = object_yaw();
  const Point handle = plus(object_, object_rotation_[0] * grasp_from_centre, object_rotation_[3] * grasp_from_centre,
                            object_rotation_[6] * grasp_from_centre);
  if (!plan_) plan_ = plan_nut(nut);
  const double to_grasp = nearest_turn(nut + plan_->grasp_turn - heading(), 2 * pi);
  const double to_end = nearest_turn(plan_->end - nut, 2 * pi);
  const double high = 1.0 + height_ / 4;
  // Where the hand is when the nut is over the peg.
  const double x = hand_[0] + Robomimic::peg[0] - object_[0], y = hand_[1] + Robomimic::peg[1] - object_[1];
  const auto again = [&] {
    enter(Phase::above);
    plan_.reset();
  };
  if (const auto wish = fetch({.above = plus(handle, 0, 0, height_),
                               .grasp = plus(handle, off_[0] / 2, off_[1] / 2, off_[2] / 2), .closing = hand_,
                               .yaw = to_grasp, .over = 0.006, .turned = 0.06, .too_high = 0.03, .near = 0.006,
                               .patience = 30}))
    return *wish;
  switch (phase_) {
    case Phase::raise:
      if (object_[2] > 0.985) {
        enter(Phase::carry);
      } else {
        if (steps_ > 20 && object_[2] < 0.86) again();  // missed
        return {{hand_[0], hand_[1], hand_[2] + high - object_[2]}, 0};
      }
      [[fallthrough]];
    case Phase::carry:
      if (distance(Robomimic::peg[0] - object_[0], Robomimic::peg[1] - object_[1]) < 0.004 && std::abs(to_end) < 0.05) {
        enter(Phase::lower);
      } else {
        if (object_[2] < 0.9) again();  // dropped
        return {{x, y, hand_[2] + high - object_[2]}, to_end};
      }
      [[fallthrough]];
    case Phase::lower:
      if (object_[2] < 0.865) enter(Phase::release);
      else return {{x, y, hand_[2] - metres_of_one}, to_end};
      [[fallthrough]];
    case Phase::release:
      if (steps_ <= 4) return hold();
      enter(Phase::leave);
      [[fallthrough]];
    default: return {plus(hand_, 0, 0, metres_of_one), 0};
  }
}

}  // namespace meander
