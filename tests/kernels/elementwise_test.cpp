#include <meander/kernels/elementwise.h>
#include <meander/kernels/activation.h>

#include <cstdlib>
#include <limits>
#include <mutex>
#include <string>

#include "helpers.h"

using namespace meander::kernels;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
const float not_a_number = std::numeric_limits<float>::quiet_NaN();
float below(float x) { return std::nextafter(x, -infinity); }

Floats applied(void (*function)(int64_t, const float*, float*), const Floats& x) {
  Floats y(x.size());
  function(static_cast<int64_t>(x.size()), x.data(), y.data());
  return y;
}
template <Activation which>
void value(int64_t n, const float* x, float* y) { activation(which, n, x, y); }
template <Activation which>
void slope(int64_t n, const float* x, float* y) { activation_slope(which, n, x, y); }
void only_sine(int64_t n, const float* x, float* y) {
  Floats other(static_cast<size_t>(n));
  sincos(n, x, y, other.data());
}
void only_cosine(int64_t n, const float* x, float* y) {
  Floats other(static_cast<size_t>(n));
  sincos(n, x, other.data(), y);
}

// ---- the truth, in double -------------------------------------------------------------------------------------------

double zero(double) { return 0; }
double true_sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
const double gelu_scale = 2 * std::sqrt(2 / std::acos(-1.0));
double gelu_argument(double x) { return gelu_scale * (x + 0.044715 * x * x * x); }
double true_gelu(double x) { return x > 20 ? x : x * true_sigmoid(gelu_argument(x)); }
double true_gelu_slope(double x) {
  if (x > 20) return 1;
  const double s = true_sigmoid(gelu_argument(x)), t = true_sigmoid(-gelu_argument(x));
  return s * (1 + x * t * gelu_scale * (1 + 3 * 0.044715 * x * x));
}
double gelu_at_minus_10(double) { return true_gelu(-10); }
double gelu_slope_at_minus_10(double) { return true_gelu_slope(-10); }
double true_mish(double x) { return x > 40 ? x : x * std::tanh(std::log1p(std::exp(x))); }
double true_mish_slope(double x) {
  if (x > 40) return 1;
  const double t = std::tanh(std::log1p(std::exp(x)));
  return t + x * (1 - t * t) * true_sigmoid(x);
}
double true_silu(double x) { return x > 40 ? x : x * true_sigmoid(x); }
double true_silu_slope(double x) {
  if (x > 40) return 1;
  return true_sigmoid(x) * (1 + x * true_sigmoid(-x));
}
double true_relu(double x) { return std::max(x, 0.0); }
double true_tanh_slope(double x) { return 1 / std::pow(std::cosh(x), 2); }

// ---- the bounds of elementwise.h and activation.h -------------------------------------------------------------------

// Inputs up to `last`, from the range before on, and what is promised for them.
struct Range {
  float last;
  double (*truth)(double);  // null: no promise
  double bound;             // in ulp
  double least = 0;         // a smaller result is measured in the ulp of this
  double worst = 0;         // what was found, and where
  float worst_at = 0;
};
struct Function {
  std::string name;
  void (*compute)(int64_t, const float*, float*);
  std::vector<Range> ranges;
  Floats edges;             // of its branches and reductions: every float around them is tested
  bool keeps_nan = true, same_everywhere = true;
};

// The ends of the intervals to which an argument is reduced, and their middles.
Floats multiples(double step, double limit) {
  Floats x;
  for (double k = 0; k * step <= limit; ++k)
    for (double sign : {-1, 1}) x.push_back(static_cast<float>(sign * k * step));
  return x;
}

std::vector<Function> functions() {
  const double half_log2 = std::log(2.0) / 2, quarter_pi = std::acos(-1.0) / 4;
  const Floats of_exp = multiples(half_log2, 105), of_angle = multiples(quarter_pi, 1e4);
  Floats of_log, of_tanh = multiples(half_log2 / 2, 11), of_gelu = {-10, 10}, of_mish = of_exp;
  for (int e = -149; e <= 127; ++e)
    for (double m : {0.5, std::sqrt(0.5)}) of_log.push_back(static_cast<float>(std::ldexp(m, e + 1)));
  of_tanh.insert(of_tanh.end(), {-0.625f, 0.625f});
  for (float edge : of_exp) {  // GELU's exponential is that of gelu_argument
    double low = -11, high = 11;
    for (int i = 0; i < 60; ++i) (gelu_argument((low + high) / 2) < edge ? low : high) = (low + high) / 2;
    of_gelu.push_back(static_cast<float>(low));
  }
  of_mish.insert(of_mish.end(), {-104, 20});
  const float tiny = below(-87.3365402f);  // exp is 0 from here down
  return {
      {"exp", meander::kernels::exp, {{tiny, zero, 0}, {infinity, std::exp, 1.1}}, of_exp},
      {"log", meander::kernels::log, {{infinity, std::log, 0.9}}, of_log},
      {"tanh", meander::kernels::tanh, {{infinity, std::tanh, 1.4}}, of_tanh},
      {"sine", only_sine, {{below(-1e6f), nullptr, 0}, {1e6f, std::sin, 1.9}, {infinity, nullptr, 0}}, of_angle},
      {"cosine", only_cosine, {{below(-1e6f), nullptr, 0}, {1e6f, std::cos, 1.9}, {infinity, nullptr, 0}}, of_angle},
      {"sigmoid", sigmoid, {{-88.7228394f, zero, 0}, {infinity, true_sigmoid, 2.6}}, of_exp},
      {"relu", value<Activation::relu>, {{infinity, true_relu, 0}}, {0}},
      {"tanh_slope", slope<Activation::tanh>, {{infinity, true_tanh_slope, 1, 1}}, of_tanh},
      {"gelu", value<Activation::gelu>,
       {{-10, gelu_at_minus_10, 2}, {-3, true_gelu, 220}, {-1, true_gelu, 14}, {infinity, true_gelu, 2.9}}, of_gelu},
      {"gelu_slope", slope<Activation::gelu>,
       {{-10, gelu_slope_at_minus_10, 2}, {-3, true_gelu_slope, 220}, {infinity, true_gelu_slope, 5.2, 0.125}},
       of_gelu},
      {"mish", value<Activation::mish>, {{tiny, zero, 0}, {infinity, true_mish, 4.8}}, of_mish},
      {"mish_slope", slope<Activation::mish>,
       {{tiny, zero, 0}, {-3, true_mish_slope, 8.5}, {infinity, true_mish_slope, 6.5, 0.125}}, of_mish},
      {"silu", value<Activation::silu>, {{tiny, zero, 0}, {infinity, true_silu, 3.7}}, of_mish},
      {"silu_slope", slope<Activation::silu>,
       {{tiny, zero, 0}, {-3, true_silu_slope, 5.9}, {infinity, true_silu_slope, 3.5, 0.125}}, of_mish},
  };
}

// |got - want| in units of the last place of want (of the smallest subnormal below the normal range).
double error_in_ulp(float got, double want, double least) {
  if (static_cast<float>(want) == got || (std::isnan(want) && std::isnan(got))) return 0;
  int exponent;
  std::frexp(std::max(std::fabs(want), least), &exponent);
  const double error = std::fabs(got - want) / std::ldexp(1.0, std::max(exponent - 24, -149));
  return std::isnan(error) ? infinity : error;
}

// Which NaN comes of two is the compiler's choice: it may exchange factors.
bool same_numbers(const Floats& a, const Floats& b) {
  for (size_t i = 0; i < a.size(); ++i)
    if (std::memcmp(&a[i], &b[i], sizeof a[i]) != 0 && !(std::isnan(a[i]) && std::isnan(b[i]))) return false;
  return true;
}

// The function at every x: the same numbers on every instruction set, NaN for NaN, the largest error of each range.
void measure(Function& function, const Floats& x) {
  static Floats y, other;
  y.resize(x.size()), other.resize(x.size());
  const Isa before = isa(), first = available().front();
  for (Isa which : available()) {
    set_isa(which);
    function.compute(std::ssize(x), x.data(), (which == first ? y : other).data());
    if (which != first && !same_numbers(y, other)) function.same_everywhere = false;
  }
  set_isa(before);
  std::mutex mutex;
  const std::vector<Range> so_far = function.ranges;  // what a piece starts from while others write theirs
  parallel_for(std::ssize(x), 4096, [&](int64_t begin, int64_t end) {
    std::vector<Range> ranges = so_far;
    bool keeps_nan = true;
    for (int64_t i = begin; i < end; ++i) {
      if (std::isnan(x[i])) {
        keeps_nan = keeps_nan && std::isnan(y[i]);
        continue;
      }
      auto range = ranges.begin();
      while (x[i] > range->last) ++range;
      const double error = range->truth ? error_in_ulp(y[i], range->truth(x[i]), range->least) : 0;
      if (error > range->worst) range->worst = error, range->worst_at = x[i];
    }
    const std::lock_guard lock(mutex);
    function.keeps_nan = function.keeps_nan && keeps_nan;
    for (size_t r = 0; r < ranges.size(); ++r)
      if (ranges[r].worst > function.ranges[r].worst) function.ranges[r] = ranges[r];
  });
}

float from_bits(uint64_t bits) {
  const uint32_t word = static_cast<uint32_t>(bits);
  float x;
  std::memcpy(&x, &word, sizeof x);
  return x;
}

}  // namespace

// Protects the accuracy that elementwise.h states, against libm in double: every 2003rd bit pattern (subnormals,
// infinities and NaNs included) and every float around an edge; with MEANDER_EXHAUSTIVE=1 all 2^32, in some minutes.
TEST_CASE("functions of one variable keep their bounds over the whole float range") {
  const char* asked = std::getenv("MEANDER_EXHAUSTIVE");
  const bool all = asked && std::string(asked) == "1";
  const uint64_t stride = all ? 1 : MEANDER_FEW_CASES ? 200003 : 2003, patterns = uint64_t{1} << 32;
  const int near_edges = MEANDER_FEW_CASES ? 2 : 32;
  for (Function& function : functions()) {
    Floats x;
    const auto flush = [&](size_t size) {
      if (x.size() < size) return;
      measure(function, x);
      x.clear();
    };
    for (float edge : function.edges) {
      float near = edge;
      for (int i = 0; i < near_edges; ++i) near = below(near);
      for (int i = 0; i < 2 * near_edges; ++i, near = std::nextafter(near, infinity)) x.push_back(near);
      flush(size_t{1} << 20);
    }
    for (uint64_t bits = 0; bits < patterns; bits += stride) {
      x.push_back(from_bits(bits));
      flush(size_t{1} << 20);
    }
    flush(1);
    for (const Range& range : function.ranges) {
      if (all) MESSAGE(function.name, " up to ", range.last, ": at most ", range.worst, " ulp, at ", range.worst_at);
      INFO(function.name, " up to ", range.last, ": worst at ", range.worst_at);
      CHECK(range.worst <= range.bound);
    }
    INFO(function.name);
    CHECK(function.keeps_nan);
    CHECK(function.same_everywhere);
  }
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
    equal(applied(value<Activation::gelu>, {0, infinity, -infinity, not_a_number, 3e38f, -3e38f}),
          {0, infinity, 0, not_a_number, 3e38f, 0});
    equal(applied(slope<Activation::gelu>, {0, infinity, -infinity, not_a_number, 3e38f, -3e38f}),
          {0.5f, 1, 0, not_a_number, 1, 0});
    equal(applied(value<Activation::mish>, {0, infinity, -infinity, not_a_number, 3e38f, -3e38f}),
          {0, infinity, 0, not_a_number, 3e38f, 0});
    equal(applied(slope<Activation::mish>, {infinity, -infinity, not_a_number, 3e38f, -3e38f}),
          {1, 0, not_a_number, 1, 0});
    equal(applied(value<Activation::silu>, {0, infinity, -infinity, not_a_number, 3e38f, -3e38f}),
          {0, infinity, 0, not_a_number, 3e38f, 0});
    equal(applied(slope<Activation::silu>, {0, infinity, -infinity, not_a_number, 3e38f, -3e38f}),
          {0.5f, 1, 0, not_a_number, 1, 0});
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
    for (auto function : {meander::kernels::exp, meander::kernels::tanh, sigmoid, only_sine, only_cosine})
      same_on_every_path([&] { return applied(function, x); });
    for (auto function : {activation, activation_slope})
      for (Activation which : activations)
        same_on_every_path([&] {
          Floats y(x.size());
          function(which, n, x.data(), y.data());
          return y;
        });
    Floats in_place = x;
    value<Activation::gelu>(n, in_place.data(), in_place.data());
    CHECK(same_bits(in_place, applied(value<Activation::gelu>, x)));
    for (float& v : x) v = v * v;
    same_on_every_path([&] { return applied(meander::kernels::log, x); });
  }
}
