#include <meander/app/statistics.h>

#include <algorithm>
#include <cmath>
#include <numeric>
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

}  // namespace

double mean(std::span<const double> sample) {
  return std::accumulate(sample.begin(), sample.end(), 0.0) / static_cast<double>(sample.size());
}

double interquartile_mean(std::span<const double> sample) {
  std::vector<double> sorted(sample.begin(), sample.end());
  std::sort(sorted.begin(), sorted.end());
  const double quarter = static_cast<double>(sorted.size()) / 4;
  double sum = 0;
  for (size_t i = 0; i < sorted.size(); ++i) {  // value i covers [i, i + 1); the middle half is [n/4, 3n/4)
    const double begin = std::max(static_cast<double>(i), quarter);
    const double end = std::min(static_cast<double>(i + 1), 3 * quarter);
    if (end > begin) sum += (end - begin) * sorted[i];
  }
  return sum / (2 * quarter);
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
