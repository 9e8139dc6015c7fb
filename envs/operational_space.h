#pragma once

#include <array>
#include <span>
#include <vector>

struct mjModel_;
struct mjData_;

namespace meander {

using Matrix3 = std::array<double, 9>;  // row-major

// The rotation of a quaternion (x, y, z, w), and back with w >= 0, as robosuite computes them (transform_utils.py,
// quat2mat and mat2quat): by way of float32, which shows at 1e-8 in a goal and at 1e-6 in torques. The way back is an
// eigenvector there; here it is the usual formula, which differs by at most 4e-7.
Matrix3 rotation_through_floats(const std::array<double, 4>& xyzw);
std::array<double, 4> quaternion_through_floats(const Matrix3& rotation);

// Operational-space control (Khatib 1987, "A unified approach for motion and force control of robot manipulators: the
// operational space formulation") of an arm of seven joints whose hand is a site, position and rotation uncoupled, as in
// robosuite 1.5.1 (controllers/parts/arm/osc.py): critically damped springs pull the hand to a goal and, in the null
// space, the joints to a posture. Allocates nothing after construction.
class OperationalSpaceController {
 public:
  static constexpr int joints = 7;
  using Joints = std::array<double, joints>;
  using MassMatrix = std::array<double, joints * joints>;

  // The arm's joints are the model's first seven. Throws Error if there are fewer, or not the site.
  OperationalSpaceController(const mjModel_& model, const char* site);

  int site() const { return site_; }

  // The goal is the hand's present pose, moved by `displacement` (m, rad about the world's axes; 6 numbers).
  void set_goal(const mjData_& data, std::span<const double> displacement);

  // The arm's block M of the mass matrix.
  MassMatrix mass_matrix(const mjData_& data);

  // N m, within the motors' ranges, for the state of which `data` has positions, velocities, M and the bias forces.
  Joints torques(const mjData_& data, const MassMatrix& mass, const Joints& posture);

  // Of J M^-1 J^T at the last torques, in the largest absolute row sum: from 1e4 on the arm is near a singular pose,
  // and rounding shows in the torques.
  double condition() const;

 private:
  static constexpr int task = 6;  // position, rotation

  const mjModel_& model_;
  int site_;
  std::array<double, 3> goal_position_{};
  Matrix3 goal_rotation_{};
  std::array<double, task * task> inverse_inertia_{};  // J M^-1 J^T
  std::vector<double> jacobian_, full_mass_;           // [6, nv], [nv, nv]
};

}  // namespace meander
