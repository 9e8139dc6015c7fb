#include <meander/envs/arm_controller.h>

#include <mujoco/mujoco.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include <meander/kernels/error.h>

namespace meander {
namespace {

constexpr int size = ArmController::joints;
constexpr int iterations = 20;
constexpr double close_enough = 1e-4;  // m, rad
constexpr double damping = 1e-12;
constexpr double greatest_turn = std::numbers::pi / 4;  // of a joint, in one iteration

using Vector = std::array<double, size>;
using Matrix = std::array<Vector, size>;

double norm(const double* x) { return std::sqrt(x[0] * x[0] + x[1] * x[1] + x[2] * x[2]); }

// a x = b by elimination with row pivoting. Near a singular pose of the arm the damping leaves a matrix of condition
// 1e12: the pivots keep the error of the joint angles far below that of the factors.
Vector solve_linear(Matrix a, Vector b) {
  for (int column = 0; column < size; ++column) {
    int pivot = column;
    for (int row = column + 1; row < size; ++row)
      if (std::abs(a[row][column]) > std::abs(a[pivot][column])) pivot = row;
    std::swap(a[column], a[pivot]);
    std::swap(b[column], b[pivot]);
    for (int row = column + 1; row < size; ++row) {
      const double factor = a[row][column] / a[column][column];
      for (int i = column + 1; i < size; ++i) a[row][i] -= factor * a[column][i];
      b[row] -= factor * b[column];
    }
  }
  for (int row = size - 1; row >= 0; --row) {
    for (int i = row + 1; i < size; ++i) b[row] -= a[row][i] * b[i];
    b[row] /= a[row][row];
  }
  return b;
}

// J^T (J J^T + damping)^-1 error.
Vector damped_step(const Matrix& jacobian, const Vector& error) {
  Matrix square;
  for (int i = 0; i < size; ++i)
    for (int j = 0; j < size; ++j) {
      double sum = 0;
      for (int k = 0; k < size; ++k) sum += jacobian[i][k] * jacobian[j][k];
      square[i][j] = sum + (i == j ? damping : 0);
    }
  const Vector weights = solve_linear(square, error);
  Vector step{};
  for (int i = 0; i < size; ++i)
    for (int k = 0; k < size; ++k) step[i] += jacobian[k][i] * weights[k];
  return step;
}

}  // namespace

// ---- poses ----------------------------------------------------------------------------------------------------------

std::array<double, 4> product(const std::array<double, 4>& a, const std::array<double, 4>& b) {
  std::array<double, 4> result;
  mju_mulQuat(result.data(), a.data(), b.data());
  return result;
}

std::array<double, 4> rotation_about_z(double angle) { return {std::cos(angle / 2), 0, 0, std::sin(angle / 2)}; }

double yaw_of(std::span<const double> q) {
  return std::atan2(2 * (q[0] * q[3] + q[1] * q[2]), 1 - 2 * (q[2] * q[2] + q[3] * q[3]));
}

Pose compose(const Pose& a, const Pose& b) {
  Pose result{product(a.rotation, b.rotation), {}};
  mju_rotVecQuat(result.position.data(), b.position.data(), a.rotation.data());
  for (int i = 0; i < 3; ++i) result.position[i] += a.position[i];
  return result;
}

Pose inverse(const Pose& a) {
  Pose result;
  mju_negQuat(result.rotation.data(), a.rotation.data());
  mju_rotVecQuat(result.position.data(), a.position.data(), result.rotation.data());
  for (double& x : result.position) x = -x;
  return result;
}

// ---- the controller -------------------------------------------------------------------------------------------------

void ArmController::DeleteData::operator()(mjData_* data) const { mj_deleteData(data); }

ArmController::ArmController(std::shared_ptr<const mjModel_> arm, const char* site)
    : arm_(std::move(arm)), data_(mj_makeData(arm_.get())), site_(mj_name2id(arm_.get(), mjOBJ_SITE, site)) {
  if (arm_->nq != joints || arm_->nv != joints)
    throw Error(message("the arm's model has ", arm_->nv, " joints, expected ", joints));
  if (site_ < 0) throw Error(message("the arm's model has no site '", site, "'"));
}

ArmController::Angles ArmController::solve(const Pose& goal, const Angles& start) {
  std::copy(start.begin(), start.end(), data_->qpos);
  for (int i = 0; i < iterations; ++i) {
    mj_kinematics(arm_.get(), data_.get());
    mj_comPos(arm_.get(), data_.get());  // mj_jacSite reads it

    Vector error;  // position, then rotation
    for (int k = 0; k < 3; ++k) error[k] = goal.position[k] - data_->site_xpos[3 * site_ + k];
    std::array<double, 4> reached, back;
    mju_mat2Quat(reached.data(), data_->site_xmat + 9 * site_);
    mju_negQuat(back.data(), reached.data());
    const std::array<double, 4> missing = product(goal.rotation, back);
    mju_quat2Vel(error.data() + 3, missing.data(), 1);
    if (norm(error.data()) <= close_enough && norm(error.data() + 3) <= close_enough) break;

    Matrix jacobian;
    mj_jacSite(arm_.get(), data_.get(), jacobian[0].data(), jacobian[3].data(), site_);
    Vector step = damped_step(jacobian, error);
    double greatest = 0;
    for (double x : step) greatest = std::max(greatest, std::abs(x));
    if (greatest > greatest_turn)
      for (double& x : step) x *= greatest_turn / greatest;
    mj_integratePos(arm_.get(), data_->qpos, step.data(), 1);
  }
  Angles found;
  std::copy_n(data_->qpos, joints, found.begin());
  return found;
}

}  // namespace meander
