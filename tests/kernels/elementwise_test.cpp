#include "kernels/elementwise.h"

#include <functional>
#include <limits>

#include "helpers.h"

using namespace meander::kernels;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
const float not_a_number = std::numeric_limits<float>::quiet_NaN();

// Every 2003rd float bit pattern, both signs, subnormals, infinities and NaNs included, as far as `wanted` says.
Floats every_2003rd(const std::function<bool(float)>& wanted) {
  Floats x;
  for (uint64_t bits = 0; bits < (uint64_t{1} << 32); bits += 2003) {
    const uint32_t word = static_cast<uint32_t>(bits);
    float v;
    std::memcpy(&v, &word, sizeof v);
    if (wanted(v)) x.push_back(v);
  }
  return x;
}
bool is_finite(float v) { return std::isfinite(v); }

// Largest error in units of the last place of the result (of the smallest subnormal below the normal range), where the
// double function stands for the truth.
double worst_ulp(void (*function)(int64_t, const float*, float*), double (*truth)(double), const Floats& x) {
  Floats y(x.size());
  function(static_cast<int64_t>(x.size()), x.data(), y.data());
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double want = truth(x[i]);
    if (static_cast<float>(want) == y[i]) continue;
    int exponent;
    std::frexp(want, &exponent);
    const double error = std::fabs(y[i] - want) / std::ldexp(1.0, std::max(exponent - 24, -149));
    worst = error <= worst ? worst : error;
  }
  return worst;
}
double worst_absolute(void (*function)(int64_t, const float*, float*), double (*truth)(double), const Floats& x) {
  Floats y(x.size());
  function(static_cast<int64_t>(x.size()), x.data(), y.data());
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double want = truth(x[i]), error = std::fabs(y[i] - want) / std::max(1.0, std::fabs(want));
    worst = error <= worst ? worst : error;
  }
  return worst;
}

Floats applied(void (*function)(int64_t, const float*, float*), const Floats& x) {
  Floats y(x.size());
  function(static_cast<int64_t>(x.size()), x.data(), y.data());
  return y;
}
void only_sine(int64_t n, const float* x, float* y) {
  Floats other(static_cast<size_t>(n));
  sincos(n, x, y, other.data());
}
void only_cosine(int64_t n, const float* x, float* y) {
  Floats other(static_cast<size_t>(n));
  sincos(n, x, other.data(), y);
}

double true_sigmoid(double x) { return x < -700 ? 0.0 : 1 / (1 + std::exp(-x)); }
double gelu_argument(double x) { return 2 * std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x); }
double true_gelu(double x) { return std::fabs(x) > 1e5 ? std::max(x, 0.0) : x * true_sigmoid(gelu_argument(x)); }
double true_gelu_slope(double x) {
  if (std::fabs(x) > 20) return x > 0;
  const double s = true_sigmoid(gelu_argument(x)), t = true_sigmoid(-gelu_argument(x));
  return s + x * s * t * 2 * std::sqrt(2 / std::acos(-1.0)) * (1 + 3 * 0.044715 * x * x);
}
double true_mish(double x) { return x > 40 ? x : x * std::tanh(std::log1p(std::exp(x))); }
double true_mish_slope(double x) {
  if (x > 40) return 1;
  const double t = std::tanh(std::log1p(std::exp(x)));
  return t + x * (1 - t * t) * true_sigmoid(x);
}

}  // namespace

// Protects the accuracy that elementwise.h states, over the whole float range, against libm in double.
TEST_CASE("exp, log, tanh, sine and cosine keep their ulp bounds over the float range") {
  CHECK(worst_ulp(meander::kernels::exp, std::exp, every_2003rd([](float v) { return v > -87.33f && v < 88.72f; })) <
        1.1);
  CHECK(worst_ulp(meander::kernels::log, std::log, every_2003rd([](float v) { return v > 0 && is_finite(v); })) < 1.1);
  CHECK(worst_ulp(meander::kernels::tanh, std::tanh, every_2003rd(is_finite)) < 1.6);
  const Floats angles = every_2003rd([](float v) { return std::fabs(v) <= 1e4f; });
  CHECK(worst_ulp(only_sine, std::sin, angles) < 2);
  CHECK(worst_ulp(only_cosine, std::cos, angles) < 2);
  // In the far tails of these the error of the exponent shows: relative to 1 + |y| they are as accurate as the rest.
  CHECK(worst_ulp(sigmoid, true_sigmoid, every_2003rd([](float v) { return v > -80 && is_finite(v); })) < 3);
  CHECK(worst_absolute(gelu, true_gelu, every_2003rd(is_finite)) < 5e-7);
  CHECK(worst_absolute(gelu_slope, true_gelu_slope, every_2003rd(is_finite)) < 5e-7);
  CHECK(worst_absolute(mish, true_mish, every_2003rd(is_finite)) < 5e-7);
  CHECK(worst_absolute(mish_slope, true_mish_slope, every_2003rd(is_finite)) < 5e-7);
}

// Protects against NaN or infinity where libm has a limit, and against a NaN that disappears.
TEST_CASE("special values") {
  const Floats x = {0.0f, -0.0f, infinity, -infinity, not_a_number, 1e-40f, -1e-40f, 3e38f, -3e38f};
  const auto equal = [](const Floats& got, const Floats& want) {
    for (size_t i = 0; i < want.size(); ++i) {
      INFO("element ", i);
      if (std::isnan(want[i])) CHECK(std::isnan(got[i]));
      else if (want[i] == 0) CHECK(std::fabs(got[i]) < 1e-35f);  // GELU stops at x = -10
      else CHECK(got[i] == want[i]);
    }
  };
  for (Isa which : available()) {
    set_isa(which);
    equal(applied(meander::kernels::exp, x), {1, 1, infinity, 0, not_a_number, 1, 1, infinity, 0});
    equal(applied(meander::kernels::log, x), {-infinity, -infinity, infinity, not_a_number, not_a_number,
                                              std::log(1e-40f), not_a_number, std::log(3e38f), not_a_number});
    equal(applied(meander::kernels::tanh, x), {0, -0.0f, 1, -1, not_a_number, 1e-40f, -1e-40f, 1, -1});
    equal(applied(gelu, {0, infinity, -infinity, not_a_number, 3e38f, -3e38f}),
          {0, infinity, 0, not_a_number, 3e38f, 0});
    equal(applied(gelu_slope, {0, infinity, -infinity, not_a_number, 3e38f, -3e38f}), {0.5f, 1, 0, not_a_number, 1, 0});
    equal(applied(mish, {0, infinity, -infinity, not_a_number, 3e38f, -3e38f}),
          {0, infinity, 0, not_a_number, 3e38f, 0});
    equal(applied(mish_slope, {infinity, -infinity, not_a_number, 3e38f, -3e38f}), {1, 0, not_a_number, 1, 0});
    equal(applied(sigmoid, {0, infinity, -infinity, not_a_number, 3e38f, -3e38f}), {0.5f, 1, 0, not_a_number, 1, 0});
    equal(applied(only_sine, {0, infinity, not_a_number}), {0, not_a_number, not_a_number});
    equal(applied(only_cosine, {0, infinity, not_a_number}), {1, not_a_number, not_a_number});
    CHECK(applied(meander::kernels::exp, {-87.34f})[0] == 0.0f);
  }
  set_isa(available().back());
}

// Protects the promise of equal bits: tails of vectors, instruction sets, threads, in place.
TEST_CASE("functions of one variable give the same bits everywhere") {
  for (int64_t n : {1, 3, 16, 17, 31, 64, 1000, 40000}) {
    Floats x = normals(n, 1);
    for (float& v : x) v *= 10;
    for (auto function : {meander::kernels::exp, meander::kernels::tanh, gelu, gelu_slope, mish, mish_slope, sigmoid,
                          only_sine, only_cosine})
      same_on_every_path([&] { return applied(function, x); });
    Floats in_place = x;
    gelu(n, in_place.data(), in_place.data());
    CHECK(same_bits(in_place, applied(gelu, x)));
    for (float& v : x) v = v * v;
    same_on_every_path([&] { return applied(meander::kernels::log, x); });
  }
}
