// Protects the task whose answer is known: its density, and the measures that tell a sample of it from one that is not.
#include <meander/algos/mixture.h>

#include <cmath>
#include <numbers>

#include <meander/algos/settings.h>
#include "batches.h"

using namespace meander;
using namespace meander::testing;

namespace {

// log of 1/40 sum_i N(x; c_i, I) and its derivative by x, term by term in double.
struct Exact {
  double log_density, gradient[2];
};
Exact exact(const GaussianMixture& mixture, double x, double y) {
  double sum = 0, gradient[2] = {};
  for (int i = 0; i < GaussianMixture::components; ++i) {
    const double dx = mixture.centre(i)[0] - x, dy = mixture.centre(i)[1] - y;
    const double density = std::exp(-0.5 * (dx * dx + dy * dy)) / (2 * std::numbers::pi * GaussianMixture::components);
    sum += density, gradient[0] += density * dx, gradient[1] += density * dy;
  }
  return {std::log(sum), {gradient[0] / sum, gradient[1] / sum}};
}

// The mean of exp(-|x - y|^2 / (2 b^2)) over the bandwidths, in double.
double kernel(const float* x, const float* y) {
  const double dx = double(x[0]) - y[0], dy = double(x[1]) - y[1];
  double sum = 0;
  for (const double b : {1, 2, 4, 8, 16}) sum += std::exp(-(dx * dx + dy * dy) / (2 * b * b));
  return sum / 5;
}

double plain_mmd(const std::vector<float>& x, const std::vector<float>& y) {
  const size_t n = x.size() / 2, m = y.size() / 2;
  double xx = 0, yy = 0, xy = 0;
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < n; ++j) xx += i == j ? 0 : kernel(&x[2 * i], &x[2 * j]);
  for (size_t i = 0; i < m; ++i)
    for (size_t j = 0; j < m; ++j) yy += i == j ? 0 : kernel(&y[2 * i], &y[2 * j]);
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < m; ++j) xy += kernel(&x[2 * i], &y[2 * j]);
  return xx / double(n * (n - 1)) + yy / double(m * (m - 1)) - 2 * xy / double(n * m);
}

}  // namespace

TEST_CASE("the log-density and its derivative, term by term") {
  ArenaScope scope;
  const GaussianMixture mixture;
  constexpr int n = 200;
  const std::vector<float> points = mixture.sample(n, 5);
  const Tensor action = empty(n, 2);
  for (int i = 0; i < 2 * n; ++i) action.f32()[i] = points[static_cast<size_t>(i)] / float(GaussianMixture::box);
  const auto v = vjp([&](Value a) { return mixture.log_density(a); }, {action});
  const Tensor gradient = v.pull({full(n, 1, 1)})[0].detached;
  for (int i = 0; i < n; ++i) {
    const double x = GaussianMixture::box * double(action.f32()[2 * i]);
    const double y = GaussianMixture::box * double(action.f32()[2 * i + 1]);
    const Exact e = exact(mixture, x, y);
    // The exponents are differences of numbers up to 1,600, which float32 holds to 1e-4; where two components meet,
    // their weights, and with them the derivative (over distances up to about 6), share that error.
    CHECK(std::abs(element(v.out[0], i) - e.log_density) < 1e-3);
    for (int d : {0, 1}) CHECK(std::abs(gradient.f32()[2 * i + d] / GaussianMixture::box - e.gradient[d]) < 4e-3);
  }
}

TEST_CASE("all centres lie in their square, in every run the same") {
  const GaussianMixture mixture, same;
  for (int i = 0; i < GaussianMixture::components; ++i)
    for (int d : {0, 1}) {
      CHECK(std::abs(mixture.centre(i)[d]) <= GaussianMixture::square);
      CHECK(mixture.centre(i)[d] == same.centre(i)[d]);
    }
}

TEST_CASE("exact samples cover every mode, uniform ones next to none") {
  const GaussianMixture mixture;
  const std::vector<float> samples = mixture.sample(10'000, 0), uniform = mixture.sample_uniform(10'000, 0);
  CHECK(mixture.modes_covered(samples) == GaussianMixture::components);
  CHECK(mixture.modes_covered(uniform) <= 2);
  // Of a Gaussian in the plane 1 - exp(-9 / 2) = .989 lie within 3; four standard errors of 10,000 draws are .004, and
  // neighbours may claim a few more.
  CHECK(mixture.within_three(samples) == doctest::Approx(0.989).epsilon(0.005));
  // 40 discs of area 9 pi on 80^2: .177 less their overlaps and what sticks out.
  CHECK(mixture.within_three(uniform) == doctest::Approx(0.16).epsilon(0.1));
  CHECK(mixture.sample(100, 0) != mixture.sample(100, 1));
  for (const float p : uniform) REQUIRE(std::abs(p) <= GaussianMixture::square);

  // A mode counts from a quarter of its expected share on: 100 points of 16,000 are just that, 99 are not.
  std::vector<float> one;
  for (int i = 0; i < 16'000; ++i)
    for (int d : {0, 1}) one.push_back(i < 100 ? mixture.centre(7)[d] : 1e4f);
  CHECK(mixture.modes_covered(one) == 1);
  one[0] = one[1] = 1e4f;
  CHECK(mixture.modes_covered(one) == 0);
}

TEST_CASE("the discrepancy of small sets is the double loop's") {
  const GaussianMixture mixture;
  for (const uint64_t set : {1, 2, 3}) {
    const std::vector<float> x = mixture.sample(40, set), y = mixture.sample_uniform(55, set);
    // Means of kernels of at most 1, whose exponents float32 holds to 1e-6.
    CHECK(std::abs(squared_mmd(x, y) - plain_mmd(x, y)) < 1e-6);
    CHECK(squared_mmd(x, y) == doctest::Approx(squared_mmd(y, x)).epsilon(1e-6));
  }
}

// The two ends of the scale, known from 10,000 samples: 0 and .0165 to .0175. With 2,000 the estimate of the first
// varies by about 1e-4, of the second by about 5e-4.
TEST_CASE("the discrepancy of exact and of uniform samples") {
  const GaussianMixture mixture;
  const std::vector<float> samples = mixture.sample(2000, 0);
  CHECK(std::abs(squared_mmd(mixture.sample(2000, 1), samples)) < 1e-3);
  const double uniform = squared_mmd(mixture.sample_uniform(2000, 0), samples);
  CHECK(uniform > 0.014);
  CHECK(uniform < 0.020);
}

TEST_CASE("a policy that follows the density goes where it is higher") {
  const GaussianMixture mixture;
  const ActionValue q = [&](Value, Value action) { return mixture.log_density(action); };
  for (const std::string name : {"mfpo", "som", "sac"}) {
    CAPTURE(name);
    const auto settings = make_algorithm(name);
    for (const Setting& s : settings->settings()) {
      if (s.key == "batch_size") *std::get<int64_t*>(s.value) = 64;
      if (s.key == "actor_width" || s.key == "width") *std::get<int64_t*>(s.value) = 32;
      if (s.key == "gaussian_proposals") *std::get<int64_t*>(s.value) = 64;
      if (s.key == "alpha") *std::get<double*>(s.value) = 1;
      if (s.key == "tune_alpha" || s.key == "exploration_noise") *std::get<bool*>(s.value) = false;
      if (s.key == "candidates") *std::get<int64_t*>(s.value) = 1;
      if (s.key == "beta_max") *std::get<double*>(s.value) = 3;   // a flow that few updates can follow
      if (s.key == "start") *std::get<std::string*>(s.value) = "policy";
      if (s.key == "velocity") *std::get<std::string*>(s.value) = "exact";
      if (s.key == "standardise") *std::get<std::string*>(s.value) = "none";
      if (s.key == "learning_rate" || s.key == "final_learning_rate") *std::get<double*>(s.value) = 3e-3;
    }
    const auto agent = settings->make_agent(1, 2, 3);
    const std::vector<float> ones(64, 1.0f);
    const auto mean_log_density = [&] {
      ArenaScope scope;
      const Tensor action = empty(500, 2);
      for (uint64_t i = 0; i < 500; ++i)
        agent->explore(std::span(ones).first(1), i, std::span(action.f32() + 2 * i, 2));
      return double(*mean_all(mixture.log_density(action)).detached.f32());
    };
    const double before = mean_log_density();
    for (uint64_t u = 1; u <= 150; ++u)
      dynamic_cast<PolicyLearner&>(*agent).improve_policy(q, view(ones.data(), 64, 1), u);
    const double after = mean_log_density();
    CHECK(after > before + 10);   // they begin around the middle of the box, some 60 below what exact samples have
  }
}
