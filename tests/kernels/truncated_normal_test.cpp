#include <meander/kernels/truncated_normal.h>

#include "helpers.h"

using namespace meander::kernels;

namespace {

struct Interval {
  float lower, upper;
};
const Interval intervals[] = {{-1, 1},    {-0.01f, 0.01f}, {-400, 400}, {-5, 0.5f}, {-0.5f, 5},   {0, 1},
                              {-1, 0},    {2.5f, 400},     {30, 31},    {-31, -30}, {30, 30.01f}, {399.9f, 400},
                              {-9, -8.9f}, {1, 1.0001f},   {-40, 3},    {-3, 40},   {12, 13},     {0.1f, 12}};

// log Q(x) in long double, x >= 0: erfc, or the continued fraction of the Mills ratio where erfc is no help.
long double log_tail(long double x) {
  if (x < 20) return std::log(std::erfc(x / std::sqrt(2.0L)) / 2);
  long double m = x;
  for (int i = 60; i >= 1; --i) m = x + i / m;
  return -x * x / 2 - std::log(m) - 0.9189385332046727417803297L;
}

// How far y is from the solution, to first order: (Phi(y) - wanted) / phi(y), measured from the tail y lies in.
double error_of(float lower, float upper, float f, float y) {
  if (upper <= 0 || (lower < 0 && y < 0)) return error_of(-upper, -lower, 1 - f, -y);
  const long double a = lower, b = upper, x = y;
  const long double from =
      lower >= 0 ? std::exp(log_tail(a) - log_tail(x)) : (1 - std::exp(log_tail(-a))) * std::exp(-log_tail(x));
  const long double wanted = (1 - static_cast<long double>(f)) * from + f * std::exp(log_tail(b) - log_tail(x));
  const long double mills = std::exp(log_tail(x) + x * x / 2 + 0.9189385332046727417803297L);
  return static_cast<double>((wanted - 1) * mills);
}

}  // namespace

// Protects the inverse in the centre and both tails, at shares down to 2^-24 of either end. The error is measured in y.
TEST_CASE("truncated normal solves its equation") {
  const int64_t n = MEANDER_FEW_CASES ? 400 : 4000;
  Floats f = uniforms(n, 1);
  for (int i = 0; i < 24; ++i) f[i] = std::ldexp(1.0f, -24 + i), f[100 + i] = 1 - std::ldexp(1.0f, -24 + i);
  for (const Interval& interval : intervals) {
    CAPTURE(interval.lower);
    CAPTURE(interval.upper);
    const Floats lower(n, interval.lower), upper(n, interval.upper);
    const Floats y = same_on_every_path([&] {
      Floats out(n);
      truncated_normal(n, lower.data(), upper.data(), f.data(), out.data());
      return out;
    });
    double worst = 0;
    for (int64_t i = 0; i < n; ++i) {
      REQUIRE(y[i] >= lower[i]);
      REQUIRE(y[i] <= upper[i]);
      // A float of size y can be no nearer than half its last place.
      const double e = std::fabs(error_of(lower[i], upper[i], f[i], y[i])) / std::max(1.0, std::fabs(double{y[i]}));
      worst = std::max(worst, std::isnan(e) ? HUGE_VAL : e);
    }
    CHECK(worst < 1e-6);
  }
}

TEST_CASE("truncated normal at f = 0 and 1, and NaN") {
  for (const Interval& interval : intervals) {
    const Floats lower(3, interval.lower), upper(3, interval.upper), f = {0, 1, NAN};
    Floats y(3);
    truncated_normal(3, lower.data(), upper.data(), f.data(), y.data());
    CHECK(y[0] == interval.lower);
    CHECK(y[1] == interval.upper);
    CHECK(std::isnan(y[2]));
  }
}

// Protects the derivative by f: against differences of the inverse where those can be trusted, and in the tails, where
// mass ratio and Mills ratio must agree.
TEST_CASE("normal mass ratio") {
  for (const Interval& interval : intervals) {
    CAPTURE(interval.lower);
    CAPTURE(interval.upper);
    for (float share : {0.0f, 0.1f, 0.5f, 0.9f}) {
      float y, ratio;
      truncated_normal(1, &interval.lower, &interval.upper, &share, &y);
      normal_mass_ratio(1, &interval.lower, &interval.upper, &y, &ratio);
      // Simpson's rule in double over exp((y^2 - x^2) / 2), on the part of the interval that matters
      const double up = std::min<double>(interval.upper, std::max(0.0f, interval.lower) + 40);
      const double low = std::max<double>(interval.lower, std::min(0.0f, interval.upper) - 40);
      const int steps = 200000;
      double sum = 0;
      for (int i = 0; i <= steps; ++i) {
        const double x = low + (up - low) * i / steps;
        sum += (i == 0 || i == steps ? 1 : i % 2 ? 4 : 2) * std::exp((double{y} - x) * (double{y} + x) / 2);
      }
      // The exponent (y^2 - x^2) / 2 reaches a few hundred where y is small and the near end large: 1e-5 for those.
      const double want = sum * (up - low) / steps / 3;
      if (want > 1e38) CHECK(ratio > 1e38f);
      else CHECK(ratio == doctest::Approx(want).epsilon(1e-5));
    }
  }
}
