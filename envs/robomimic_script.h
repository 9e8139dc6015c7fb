#pragma once

#include <array>
#include <optional>
#include <span>

#include <meander/core/random.h>
#include <meander/envs/robomimic.h>

namespace meander {

// Scripted demonstrations of robomimic's tasks: the hand is led towards the target of the present phase in proportion to
// what is missing, tool down, its fingers' axis turned to the object. It looks at nothing but the observation; what it
// missed or dropped it fetches again.
class RobomimicScript {
 public:
  static constexpr double usual_noise = 0.2, usual_spread = 0.5;

  // `noise`: the deviation of the action's noise, which is smoothed over time. `spread`: how far heights, speed, the
  // point of the grasp and the time of closing vary from episode to episode; at 1, 3 cm, half, 6 mm and 5 steps.
  RobomimicScript(RobomimicTask task, Stream random, double noise, double spread);

  // The next action of the episode, in [-1, 1].
  std::array<double, Robomimic::actions> act(std::span<const float> observation);

 private:
  using Point = std::array<double, 3>;
  enum class Phase { above, descend, grasp, raise, carry, lower, release, leave };
  struct Wish {
    Point target;           // m, of the hand
    double yaw = 0;         // rad, still to turn
  };
  // How the nut is grasped, and where its handle points in the end (rad).
  struct Plan { double grasp_turn, end; };

  // The first three phases, which all tasks have.
  struct Approach {
    Point above, grasp, closing;              // where the hand goes to
    double yaw = 0;                           // rad, still to turn
    double over, turned, too_high, near;      // m, rad, m, m: when it is above, and at the grasp
    int patience;                             // steps after which it grasps wherever it is
  };
  std::optional<Wish> fetch(const Approach& a);  // nothing once the fingers are closed

  void enter(Phase phase);
  Wish lift();
  Wish can();
  Wish square();
  Plan plan_nut(double nut) const;
  Wish hold() const { return {hand_, 0}; }
  bool is_near(const Point& target, double distance) const;
  bool is_over(const Point& target, double distance) const;  // in the plane
  double heading() const;       // rad, of the fingers' axis
  double object_yaw() const;

  RobomimicTask task_;
  Stream random_;
  double noise_;
  // Of this episode.
  double height_, fastest_;     // m above the object before the descent; the largest displacement
  Point off_;                   // m beside the ideal grasp
  int closing_;                 // steps
  std::optional<Plan> plan_;

  Phase phase_ = Phase::above;
  int steps_ = 0;               // in this phase
  std::array<double, 6> smooth_{};
  // As observed; rotations row-major.
  Point hand_{}, object_{};
  Matrix3 hand_rotation_{}, object_rotation_{};
};

}  // namespace meander
