#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace meander::bench {

// Microseconds of one call, `samples` times; each sample repeats the call until it has taken `seconds` (0: one call).
// `wait`, if there is one, ends each sample: of calls that queue their work and return.
std::vector<double> time_samples(const std::function<void()>& run, int samples, double seconds,
                                 const std::function<void()>& wait = {});
// The value below which the share q of them lies.
double quantile(std::vector<double> values, double q);

// Of n numbers of the host.
double mean_absolute(const float* x, int64_t n);

}  // namespace meander::bench
