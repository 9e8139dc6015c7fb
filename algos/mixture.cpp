#include <meander/algos/mixture.h>

#include <cmath>
#include <numbers>

#include <meander/core/random.h>
#include <meander/kernels/elementwise.h>
#include <meander/kernels/rows.h>

namespace meander {

GaussianMixture::GaussianMixture() : centres_(2 * components), weights_(2 * components), bias_(components) {
  Stream random(0, Purpose::toy_centres, 0);
  for (int i = 0; i < components; ++i) {
    for (int d : {0, 1}) {
      const float c = static_cast<float>(random.uniform(-square, square));
      centres_.data()[2 * i + d] = weights_.data()[d * components + i] = c;
    }
    const float* c = centre(i);
    bias_.data()[i] = -0.5f * (c[0] * c[0] + c[1] * c[1]);
  }
}

// -|x - c|^2 / 2 = x c - |c|^2 / 2 - |x|^2 / 2: the last is the same for all components.
Value GaussianMixture::log_density(Value action) const {
  const Value x = action * box;
  const Value exponents = dense(x, weights_.tensor().reshape(2, components), bias_.tensor());
  return log_sum_exp(exponents) - 0.5 * sum_row(meander::square(x)) - std::log(components * 2 * std::numbers::pi);
}

std::vector<float> GaussianMixture::sample(int64_t n, uint64_t set) const {
  Stream random(0, Purpose::toy_samples, 2 * set);
  std::vector<float> points;
  for (int64_t i = 0; i < n; ++i) {
    const float* c = centre(static_cast<int>(random.uniform() * components));
    for (int d : {0, 1}) points.push_back(static_cast<float>(c[d] + random.normal()));
  }
  return points;
}

std::vector<float> GaussianMixture::sample_uniform(int64_t n, uint64_t set) const {
  Stream random(0, Purpose::toy_samples, 2 * set + 1);
  std::vector<float> points;
  for (int64_t i = 0; i < 2 * n; ++i) points.push_back(static_cast<float>(random.uniform(-square, square)));
  return points;
}

// ---- how good a sample is -------------------------------------------------------------------------------------------
GaussianMixture::Nearest GaussianMixture::nearest(const float* point) const {
  Nearest best{-1, 1e300};
  for (int i = 0; i < components; ++i) {
    const double distance = std::hypot(double(point[0]) - centre(i)[0], double(point[1]) - centre(i)[1]);
    if (distance < best.distance) best = {i, distance};
  }
  return best;
}

int GaussianMixture::modes_covered(const std::vector<float>& points) const {
  const int64_t n = std::ssize(points) / 2;
  std::vector<int64_t> count(components);
  for (int64_t i = 0; i < n; ++i)
    if (const Nearest near = nearest(&points[2 * i]); near.distance <= 3) ++count[near.component];
  int covered = 0;
  for (const int64_t c : count) covered += c >= n / components / 4;
  return covered;
}

double GaussianMixture::within_three(const std::vector<float>& points) const {
  const int64_t n = std::ssize(points) / 2;
  int64_t inside = 0;
  for (int64_t i = 0; i < n; ++i) inside += nearest(&points[2 * i]).distance <= 3;
  return double(inside) / double(n);
}

namespace {

// The sum over all j of the mean kernel at (x, y_j). One exponential a pair: each bandwidth's kernel is the fourth power
// of the next one's.
double kernel_sum(const float* x, const std::vector<float>& y, std::vector<float>& work) {
  const int64_t n = std::ssize(y) / 2;
  for (int64_t j = 0; j < n; ++j) {
    const float dx = x[0] - y[2 * j], dy = x[1] - y[2 * j + 1];
    work[j] = (dx * dx + dy * dy) * (-0.5f / 256);
  }
  kernels::exp(n, work.data(), work.data());
  for (int64_t j = 0; j < n; ++j) {
    const auto fourth = [](float k) { return (k * k) * (k * k); };
    const float k16 = work[j], k8 = fourth(k16), k4 = fourth(k8), k2 = fourth(k4);
    work[j] = k16 + k8 + k4 + k2 + fourth(k2);
  }
  float sum;
  kernels::sum_row(1, n, work.data(), &sum);
  return sum / 5;
}

}  // namespace

double squared_mmd(const std::vector<float>& x, const std::vector<float>& y) {
  const double n = double(x.size()) / 2, m = double(y.size()) / 2;
  std::vector<float> work(std::max(x.size(), y.size()) / 2);
  double xx = -n, yy = -m, xy = 0;   // without each point beside itself, where the kernel is 1
  for (size_t i = 0; i < x.size(); i += 2) xx += kernel_sum(&x[i], x, work), xy += kernel_sum(&x[i], y, work);
  for (size_t i = 0; i < y.size(); i += 2) yy += kernel_sum(&y[i], y, work);
  return xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * xy / (n * m);
}

}  // namespace meander
