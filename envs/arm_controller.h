#pragma once

#include <array>
#include <memory>
#include <span>

struct mjModel_;
struct mjData_;

namespace meander {

// A rotation as a unit quaternion (w, x, y, z), and a position.
struct Pose {
  std::array<double, 4> rotation{1, 0, 0, 0};
  std::array<double, 3> position{};
};

std::array<double, 4> product(const std::array<double, 4>& a, const std::array<double, 4>& b);
std::array<double, 4> rotation_about_z(double angle);
double yaw_of(std::span<const double> rotation);  // the angle about z, in [-pi, pi]
Pose compose(const Pose& a, const Pose& b);       // b, given in a's frame, in the frame a is given in
Pose inverse(const Pose& a);

// Differential inverse kinematics of an arm of six hinges: a damped Gauss-Newton iteration on a model of the arm alone,
// whose one site is to reach a pose. Allocates nothing after construction; not shared between threads.
class ArmController {
 public:
  static constexpr int joints = 6;
  using Angles = std::array<double, joints>;

  // Throws Error if the model has another number of joints or not the site.
  ArmController(std::shared_ptr<const mjModel_> arm, const char* site);

  // The joint angles (rad) found from `start` in at most 20 iterations; where the goal is out of reach, those of the
  // last one.
  Angles solve(const Pose& goal, const Angles& start);

 private:
  struct DeleteData { void operator()(mjData_*) const; };
  std::shared_ptr<const mjModel_> arm_;
  std::unique_ptr<mjData_, DeleteData> data_;
  int site_;
};

}  // namespace meander
