#pragma once

#include <cstdint>
#include <vector>

#include <meander/core/operations.h>
#include <meander/nn/buffer.h>

namespace meander {

// A task where the answer is known: Q is the log density of 40 unit Gaussians of equal weight in the plane, and a policy
// that samples from exp(Q) must find them all. Their centres are uniform in [-40, 40]^2, the same in every run. An action
// in [-1, 1]^2 is the point 44 a: a margin of four standard deviations around the centres' square.
class GaussianMixture {
 public:
  static constexpr int components = 40;
  static constexpr double square = 40, box = 44;

  GaussianMixture();

  const float* centre(int i) const { return centres_.data() + 2 * i; }   // of component i, a point
  // log of 1/40 sum_i N(44 a; c_i, I): a [n, 2] -> [n, 1]. Differentiable.
  Value log_density(Value action) const;
  // n points [n, 2]: of the mixture, and uniform over the box. Each purpose number names a set of its own.
  std::vector<float> sample(int64_t n, uint64_t set) const;
  std::vector<float> sample_uniform(int64_t n, uint64_t set) const;

  // How good a sample [n, 2] of points is.
  // A mode is covered when at least a quarter of its expected share n / 40 lie nearest to its centre and within 3.
  int modes_covered(const std::vector<float>& points) const;
  // Share of the points within 3 of the nearest centre.
  double within_three(const std::vector<float>& points) const;

 private:
  struct Nearest {
    int component;
    double distance;
  };
  Nearest nearest(const float* point) const;

  Buffer centres_, weights_, bias_;   // [40, 2]; as a layer: [2, 40] and -|c|^2 / 2
};

// The unbiased estimate of the squared maximum mean discrepancy of two sets of points in the plane [n, 2], [m, 2] (Gretton
// et al. 2012, lemma 6) under the mean of the Gaussian kernels exp(-|x - y|^2 / (2 b^2)) of bandwidth b = 1, 2, 4, 8, 16.
double squared_mmd(const std::vector<float>& x, const std::vector<float>& y);

}  // namespace meander
