// The algebra of poses. The inverse kinematics is held by OGBench's goldens, which record its output.
#include <meander/envs/arm_controller.h>

#include <doctest/doctest.h>

#include <numbers>

using namespace meander;

namespace {

constexpr double pi = std::numbers::pi;

void check_equal(const Pose& a, const Pose& b) {
  for (int i = 0; i < 4; ++i) CHECK(a.rotation[i] == doctest::Approx(b.rotation[i]).epsilon(1e-14));
  for (int i = 0; i < 3; ++i) CHECK(a.position[i] == doctest::Approx(b.position[i]).epsilon(1e-14));
}

}  // namespace

// A wrong order of frames would put the tool elsewhere, which only some poses show.
TEST_CASE("poses") {
  const Pose quarter{rotation_about_z(pi / 2), {1, 2, 3}}, along{{1, 0, 0, 0}, {1, 0, 0}};
  check_equal(compose(quarter, along), {rotation_about_z(pi / 2), {1, 3, 3}});
  check_equal(compose(along, quarter), {rotation_about_z(pi / 2), {2, 2, 3}});
  const Pose other{product(rotation_about_z(0.7), {0, 1, 0, 0}), {-0.3, 0.2, 0.5}};
  check_equal(compose(quarter, compose(inverse(quarter), other)), other);
  check_equal(compose(compose(other, inverse(other)), quarter), quarter);
}

TEST_CASE("the yaw of a rotation") {
  for (const double angle : {-3.0, -1.0, 0.0, 0.5, 2.5}) {
    CHECK(yaw_of(rotation_about_z(angle)) == doctest::Approx(angle).epsilon(1e-14));
    const std::array<double, 4> tool_down = product(rotation_about_z(angle), {0, 1, 0, 0});
    CHECK(yaw_of(tool_down) == doctest::Approx(angle).epsilon(1e-14));
  }
}
