#include <meander/app/statistics.h>

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include <meander/core/random.h>

using namespace meander;

// Protects what sweeps and curves claim: weights of the interquartile mean by hand, and intervals whose law is known.
TEST_CASE("the interquartile mean cuts a quarter off each end, in parts where n / 4 is not whole") {
  using Sample = std::vector<double>;
  CHECK(mean(Sample{1, 2, 6}) == doctest::Approx(3));
  CHECK(interquartile_mean(Sample{5}) == doctest::Approx(5));
  CHECK(interquartile_mean(Sample{1, 3}) == doctest::Approx(2));
  CHECK(interquartile_mean(Sample{100, 2, 3, -50}) == doctest::Approx(2.5));
  // n = 3: [0.75, 2.25) has a quarter of the first, the second, a quarter of the third.
  CHECK(interquartile_mean(Sample{0, 1, 8}) == doctest::Approx((0.25 * 0 + 1 + 0.25 * 8) / 1.5));
  // n = 5: [1.25, 3.75)
  CHECK(interquartile_mean(Sample{9, -7, 1, 2, 4}) == doctest::Approx((0.75 * 1 + 2 + 0.75 * 4) / 2.5));
  // n = 6: [1.5, 4.5)
  CHECK(interquartile_mean(Sample{-9, 1, 2, 4, 6, 90}) == doctest::Approx((0.5 * 1 + 2 + 4 + 0.5 * 6) / 3));
  CHECK(interquartile_mean(Sample{0, 0, 1, 2, 3, 4, 50, 60}) == doctest::Approx(2.5));
}

TEST_CASE("means of the largest numbers are finite") {
  using Sample = std::vector<double>;
  const double large = 1.7e308;
  CHECK(mean(Sample{large, large, large}) == doctest::Approx(large));
  CHECK(mean(Sample{large, large, -large, -large}) == 0);
  CHECK(interquartile_mean(Sample{large, large, large, large, large}) == doctest::Approx(large));
  const ConfidenceInterval same = bootstrap_interval(Sample{large, large, large}, mean);
  CHECK(same.low == doctest::Approx(large));
  CHECK(same.high == doctest::Approx(large));
}

TEST_CASE("bootstrap intervals") {
  const std::vector<double> constant(4, 3.0), three = {1, 2, 3};
  CHECK(bootstrap_interval(constant, mean).low == 3);
  CHECK(bootstrap_interval(constant, interquartile_mean).high == 3);
  // Of three values the lowest is drawn three times with probability 1/27, more than 2.5 %.
  const ConfidenceInterval ends = bootstrap_interval(three, mean);
  CHECK(ends.low == 1);
  CHECK(ends.high == 3);

  // The mean of many normal values: their deviation over root n, times 1.96.
  Stream stream(3, Purpose::test, 0);
  std::vector<double> sample(200);
  for (double& x : sample) x = 5 + 2 * stream.normal();
  const double middle = mean(sample);
  double square = 0;
  for (const double x : sample) square += (x - middle) * (x - middle) / 200;
  const double half = 1.96 * std::sqrt(square / 200);
  const ConfidenceInterval interval = bootstrap_interval(sample, mean);
  CHECK(interval.low == doctest::Approx(middle - half).epsilon(0.01));
  CHECK(interval.high == doctest::Approx(middle + half).epsilon(0.01));
  CHECK(bootstrap_interval(sample, mean).low == interval.low);  // the draws are always the same
}
