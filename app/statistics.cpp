#include <meander/app/statistics.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include <meander/core/random.h>

namespace meander {

namespace {

// The value below which a share of the sorted values lies, linear between neighbours.
double quantile(const std::vector<double>& sorted, double share) {
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return std::lerp(sorted[below], sorted[above], at - static_cast<double>(below));
}

// The sum of weight(i) values[i] over `whole`, the sum of the weights; finite where the values are, however large.
template <class Weight>
double weighted_mean(std::span<const double> values, double whole, Weight&& weight) {
  const auto sum = [&](double scale) {
    double total = 0;
    for (size_t i = 0; i < values.size(); ++i) total += scale * weight(i) * values[i];
    return total;
  };
  const double total = sum(1);
  return std::isfinite(total) ? total / whole : sum(1 / whole);
}

}  // namespace

double mean(std::span<const double> sample) {
  return weighted_mean(sample, static_cast<double>(sample.size()), [](size_t) { return 1.0; });
}

double interquartile_mean(std::span<const double> sample) {
  std::vector<double> sorted(sample.begin(), sample.end());
  std::sort(sorted.begin(), sorted.end());
  const double quarter = static_cast<double>(sorted.size()) / 4;
  return weighted_mean(sorted, 2 * quarter, [&](size_t i) {  // value i covers [i, i + 1); the middle half [n/4, 3n/4)
    const double begin = std::max(static_cast<double>(i), quarter);
    const double end = std::min(static_cast<double>(i + 1), 3 * quarter);
    return std::max(end - begin, 0.0);
  });
}

ConfidenceInterval bootstrap_interval(std::span<const double> sample, double (*statistic)(std::span<const double>)) {
  constexpr int resamples = 2000;
  Stream stream(0, Purpose::bootstrap, 0);
  std::vector<double> values(resamples), drawn(sample.size());
  for (double& value : values) {
    for (double& x : drawn)
      x = sample[static_cast<size_t>(stream.uniform() * static_cast<double>(sample.size()))];
    value = statistic(drawn);
  }
  std::sort(values.begin(), values.end());
  return {quantile(values, 0.025), quantile(values, 0.975)};
}

}  // namespace meander
