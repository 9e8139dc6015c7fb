#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "envs/environments.h"
#include "envs/mujoco.h"

// Whether many resets of an environment follow the distribution that its package draws from.
namespace meander {

inline constexpr int samples = 10000;
// The Kolmogorov-Smirnov distance that 10,000 right samples exceed once in a million: sqrt(-log(5e-7) / (2 n)). The
// streams are fixed, so a pass stays a pass. A range wrong by 10 % gives .045; a deviation wrong by as much only .022,
// hence the second bound on the mean of squares.
inline const double critical = std::sqrt(-std::log(5e-7) / (2 * samples));

inline double distance_to(std::vector<double> x, const std::function<double(double)>& cumulative) {
  std::sort(x.begin(), x.end());
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double expected = cumulative(x[i]);
    worst = std::max({worst, std::abs(expected - static_cast<double>(i) / x.size()),
                      std::abs(expected - static_cast<double>(i + 1) / x.size())});
  }
  return worst;
}

inline void check_uniform(const std::vector<double>& x, double low, double high) {
  CHECK(distance_to(x, [&](double v) { return std::clamp((v - low) / (high - low), 0.0, 1.0); }) < critical);
  CHECK(*std::min_element(x.begin(), x.end()) >= low);
  CHECK(*std::max_element(x.begin(), x.end()) <= high);
}

inline void check_normal(const std::vector<double>& x, double deviation) {
  CHECK(distance_to(x, [&](double v) { return 0.5 * std::erfc(-v / (deviation * std::sqrt(2.0))); }) < critical);
  double squares = 0;
  for (double v : x) squares += v * v;
  // The mean of n squares of normals is 1 +- sqrt(2 / n); five of these.
  CHECK(std::abs(squares / (x.size() * deviation * deviation) - 1) < 5 * std::sqrt(2.0 / x.size()));
}

// Resets `samples` times and keeps every position and velocity: [nq + nv][samples].
inline std::vector<std::vector<double>> many_resets(const std::string& name) {
  const auto environment = make_environment(name);
  const auto& mujoco = dynamic_cast<const MujocoEnvironment&>(*environment);
  Stream random(11, Purpose::test, 0);
  std::vector<std::vector<double>> columns(mujoco.positions().size() + mujoco.velocities().size());
  for (int i = 0; i < samples; ++i) {
    environment->reset(random);
    auto column = columns.begin();
    for (double q : mujoco.positions()) (column++)->push_back(q);
    for (double v : mujoco.velocities()) (column++)->push_back(v);
  }
  return columns;
}

inline bool constant(const std::vector<double>& x, double value) {
  return std::all_of(x.begin(), x.end(), [&](double v) { return v == value; });
}

}  // namespace meander
