#include <meander/envs/operational_space.h>

#include <mujoco/mujoco.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include <meander/kernels/error.h>
#include <meander/envs/model_spec.h>

namespace meander {
namespace {

constexpr double stiffness = 150, posture_stiffness = 10;  // 1/s^2; dampings are twice their square roots

double dot(const double* a, const double* b, int n) {
  double sum = 0;
  for (int i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

// A = L L^T, both [n, n] row-major.
template <int n>
std::array<double, n * n> cholesky(const std::array<double, n * n>& a) {
  std::array<double, n * n> l{};
  for (int i = 0; i < n; ++i)
    for (int j = 0; j <= i; ++j) {
      const double rest = a[i * n + j] - dot(&l[i * n], &l[j * n], j);
      l[i * n + j] = i == j ? std::sqrt(rest) : rest / l[j * n + j];
    }
  return l;
}

// x := L^-1 x
template <int n>
void solve_lower(const std::array<double, n * n>& l, double* x) {
  for (int i = 0; i < n; ++i) x[i] = (x[i] - dot(&l[i * n], x, i)) / l[i * n + i];
}

// x := A^-1 x
template <int n>
void solve(const std::array<double, n * n>& a, double* x) {
  const auto l = cholesky<n>(a);
  solve_lower<n>(l, x);
  for (int i = n - 1; i >= 0; --i) {
    for (int k = i + 1; k < n; ++k) x[i] -= l[k * n + i] * x[k];
    x[i] /= l[i * n + i];
  }
}

// The 3 x 3 block of a 6 x 6 matrix whose first row and column is `at`.
Matrix3 block(const std::array<double, 36>& a, int at) {
  Matrix3 b;
  for (int i = 0; i < 3; ++i) std::copy_n(&a[(at + i) * 6 + at], 3, &b[i * 3]);
  return b;
}

// axisangle2quat of the package: x, y, z, w.
std::array<double, 4> quaternion_of_vector(const double* turn) {
  const double angle = std::sqrt(dot(turn, turn, 3));
  if (angle == 0) return {0, 0, 0, 1};
  const double sine = std::sin(angle / 2);
  return {turn[0] / angle * sine, turn[1] / angle * sine, turn[2] / angle * sine, std::cos(angle / 2)};
}

double largest_row_sum(const double* a, int n) {
  double largest = 0;
  for (int i = 0; i < n; ++i) {
    double sum = 0;
    for (int j = 0; j < n; ++j) sum += std::abs(a[i * n + j]);
    largest = std::max(largest, sum);
  }
  return largest;
}

}  // namespace

// ---- rotations through float32 -----------------------------------------------------------------------------------------

Matrix3 rotation_through_floats(const std::array<double, 4>& xyzw) {
  float x = static_cast<float>(xyzw[0]), y = static_cast<float>(xyzw[1]), z = static_cast<float>(xyzw[2]),
        w = static_cast<float>(xyzw[3]);
  double squares = 0;
  for (const float component : {w, x, y, z}) squares += static_cast<double>(component * component);
  squares = static_cast<double>(static_cast<float>(squares));
  if (squares < 4 * std::numeric_limits<double>::epsilon()) return {1, 0, 0, 0, 1, 0, 0, 0, 1};
  const double scale = std::sqrt(2.0 / squares);
  for (float* component : {&x, &y, &z, &w}) *component = static_cast<float>(static_cast<double>(*component) * scale);
  // The diagonal is summed in double, what is beside it in float32.
  const double xx = x * x, yy = y * y, zz = z * z;
  const float xy = x * y, xz = x * z, yz = y * z, wx = x * w, wy = y * w, wz = z * w;
  return {1 - yy - zz, xy - wz, xz + wy,  //
          xy + wz, 1 - xx - zz, yz - wx,  //
          xz - wy, yz + wx, 1 - xx - yy};
}

std::array<double, 4> quaternion_through_floats(const Matrix3& rotation) {
  double r[3][3];
  for (int i = 0; i < 9; ++i) r[i / 3][i % 3] = static_cast<double>(static_cast<float>(rotation[i]));
  std::array<double, 4> q{};  // from the largest of its components, for the sake of the others
  const double largest[] = {r[0][0], r[1][1], r[2][2], r[0][0] + r[1][1] + r[2][2]};
  const auto i = static_cast<int>(std::max_element(largest, largest + 4) - largest);
  if (i == 3) {
    q = {r[2][1] - r[1][2], r[0][2] - r[2][0], r[1][0] - r[0][1], 1 + largest[3]};
  } else {
    const int j = (i + 1) % 3, k = (i + 2) % 3;
    q[i] = 1 + r[i][i] - r[j][j] - r[k][k];
    q[j] = r[j][i] + r[i][j];
    q[k] = r[k][i] + r[i][k];
    q[3] = r[k][j] - r[j][k];
  }
  const double scale = std::copysign(1 / std::sqrt(dot(q.data(), q.data(), 4)), q[3]);
  for (double& component : q) component *= scale;
  return q;
}

// ---- the controller ----------------------------------------------------------------------------------------------------

OperationalSpaceController::OperationalSpaceController(const mjModel& model, const char* site)
    : model_(model),
      site_(id_of(model, mjOBJ_SITE, site)),
      jacobian_(static_cast<size_t>(task * model.nv)),
      full_mass_(static_cast<size_t>(model.nv * model.nv)) {
  if (model.nv < joints || model.nu < joints)
    throw Error(message("the model has ", model.nv, " joints and ", model.nu, " motors, expected an arm of ", joints));
}

void OperationalSpaceController::set_goal(const mjData& data, std::span<const double> displacement) {
  for (int i = 0; i < 3; ++i) goal_position_[i] = data.site_xpos[3 * site_ + i] + displacement[i];
  const Matrix3 turn = rotation_through_floats(quaternion_of_vector(displacement.data() + 3));
  const double* const present = data.site_xmat + 9 * site_;
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) {
      const double column[] = {present[j], present[3 + j], present[6 + j]};
      goal_rotation_[3 * i + j] = dot(&turn[3 * i], column, 3);
    }
}

OperationalSpaceController::MassMatrix OperationalSpaceController::mass_matrix(const mjData& data) {
  mj_fullM(&model_, full_mass_.data(), data.qM);
  MassMatrix mass;
  for (int i = 0; i < joints; ++i) std::copy_n(&full_mass_[i * model_.nv], joints, &mass[i * joints]);
  return mass;
}

// In the names of the paper and of the package: J the hand's Jacobian, Lambda = (J M^-1 J^T)^-1 its inertia,
//   F   = Lambda_pp (k e_p - d v_p), Lambda_rr (k e_r - d v_r)        what pulls the hand: the two halves uncoupled
//   tau = J^T F + bias + N^T M b,   N^T = I - J^T Lambda J M^-1       b pulls the joints to the posture
OperationalSpaceController::Joints OperationalSpaceController::torques(const mjData& data, const MassMatrix& mass,
                                                                       const Joints& posture) {
  const int nv = model_.nv;
  mj_jacSite(&model_, &data, jacobian_.data(), jacobian_.data() + 3 * nv, site_);
  const double* const J = jacobian_.data();

  // e: the way to the goal, and half the sum of the cross products of the present axes with the goal's.
  const double *const position = data.site_xpos + 3 * site_, *const r = data.site_xmat + 9 * site_;
  double force[task];
  for (int i = 0; i < 3; ++i) {
    const int a = (i + 1) % 3, b = (i + 2) % 3;
    double turn = 0;
    for (int axis = 0; axis < 3; ++axis)
      turn += r[3 * a + axis] * goal_rotation_[3 * b + axis] - r[3 * b + axis] * goal_rotation_[3 * a + axis];
    force[i] = goal_position_[i] - position[i];
    force[3 + i] = turn / 2;
  }
  for (int i = 0; i < task; ++i)
    force[i] = stiffness * force[i] - 2 * std::sqrt(stiffness) * dot(J + i * nv, data.qvel, joints);

  // J M^-1 J^T = Y^T Y with Y = L^-1 J^T, M = L L^T; the rows here are the columns of Y.
  const MassMatrix lower = cholesky<joints>(mass);
  double Y[task][joints];
  for (int i = 0; i < task; ++i) {
    std::copy_n(J + i * nv, joints, Y[i]);
    solve_lower<joints>(lower, Y[i]);
  }
  for (int i = 0; i < task; ++i)
    for (int j = 0; j < task; ++j) inverse_inertia_[i * task + j] = dot(Y[i], Y[j], joints);
  solve<3>(block(inverse_inertia_, 0), force);
  solve<3>(block(inverse_inertia_, 3), force + 3);

  double b[joints], felt[task];  // felt by the hand: J b, which the null space takes out again
  for (int k = 0; k < joints; ++k)
    b[k] = posture_stiffness * (posture[k] - data.qpos[k]) - 2 * std::sqrt(posture_stiffness) * data.qvel[k];
  for (int i = 0; i < task; ++i) felt[i] = dot(J + i * nv, b, joints);
  solve<task>(inverse_inertia_, felt);

  Joints torques;
  for (int k = 0; k < joints; ++k) {
    double pulled = 0, held = 0;
    for (int i = 0; i < task; ++i) {
      pulled += J[i * nv + k] * force[i];
      held += J[i * nv + k] * felt[i];
    }
    const double torque = pulled + data.qfrc_bias[k] + (dot(&mass[k * joints], b, joints) - held);
    torques[k] = std::clamp(torque, model_.actuator_ctrlrange[2 * k], model_.actuator_ctrlrange[2 * k + 1]);
  }
  return torques;
}

double OperationalSpaceController::condition() const {
  std::array<double, task * task> inverse{};  // its columns as rows: it is symmetric
  for (int i = 0; i < task; ++i) {
    inverse[i * task + i] = 1;
    solve<task>(inverse_inertia_, &inverse[i * task]);
  }
  return largest_row_sum(inverse_inertia_.data(), task) * largest_row_sum(inverse.data(), task);
}

}  // namespace meander
