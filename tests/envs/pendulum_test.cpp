#include <meander/envs/pendulum.h>

#include <doctest/doctest.h>

#include <numbers>

using namespace meander;

// The formulas by hand, at states where wrapping, both clips and the float32 rounding act. 1e-15: one rounding of sums
// of this size.
TEST_CASE("pendulum's reward and motion") {
  Pendulum pendulum("Pendulum-v1");
  const double pi = std::numbers::pi;

  // Three quarters of a turn to the left is a quarter to the right.
  pendulum.load(std::vector<double>{-1.5 * pi, 7.9, 0});
  Step step = pendulum.step(std::vector<double>{5});  // clipped to 2
  CHECK(step.reward == doctest::Approx(-(pi * pi / 4 + 0.1 * 7.9 * 7.9 + 0.001 * 4)).epsilon(1e-15));
  CHECK(pendulum.save()[1] == 8);  // 7.9 + .05 (15 + 6) clipped
  CHECK(pendulum.save()[0] == -1.5 * pi + 8 * 0.05);

  pendulum.load(std::vector<double>{0, 0, 198});
  step = pendulum.step(std::vector<double>{-1});
  CHECK(step.reward == doctest::Approx(-0.001).epsilon(1e-15));
  CHECK(pendulum.save()[1] == doctest::Approx(-0.15).epsilon(1e-15));
  CHECK_FALSE(step.truncated);
  CHECK(pendulum.step(std::vector<double>{0}).truncated);
}

// A compiler that drops the rounding (one did) would leave doubles here.
TEST_CASE("pendulum's observations are float32 numbers") {
  Pendulum pendulum("Pendulum-v1");
  Stream random(1, Purpose::test, 0);
  for (int i = 0; i < 20; ++i) {
    pendulum.reset(random);
    for (double x : pendulum.observation()) {
      volatile float rounded = static_cast<float>(x);
      CHECK(x == rounded);
    }
  }
}
