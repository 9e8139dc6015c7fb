#pragma once

#include <span>

namespace meander {

// What a few runs say about an algorithm, after Agarwal et al., "Deep reinforcement learning at the edge of the
// statistical precipice" (2021). The samples must not be empty.

double mean(std::span<const double> sample);

// The mean of the middle half: the lowest and the highest n/4 of the n values have no weight; where n/4 is not a whole
// number, the two values it cuts through count with the part that lies inside.
double interquartile_mean(std::span<const double> sample);

struct ConfidenceInterval {
  double low, high;
};

// The 95 % percentile-bootstrap interval of a statistic: from the 2.5th to the 97.5th percentile of its values on 2,000
// samples of the same size drawn with replacement. The draws are always the same.
ConfidenceInterval bootstrap_interval(std::span<const double> sample, double (*statistic)(std::span<const double>));

// With fewer runs than this an interval by resampling says nothing.
inline constexpr int interval_runs = 3;

}  // namespace meander
