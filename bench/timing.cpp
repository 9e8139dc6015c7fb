#include "bench/timing.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace meander::bench {

std::vector<double> time_samples(const std::function<void()>& run, int samples, double seconds,
                                 const std::function<void()>& wait) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> times;
  times.reserve(static_cast<size_t>(samples));
  int64_t block = 1;  // calls between two looks at the clock
  while (static_cast<int>(times.size()) < samples) {
    const auto start = Clock::now();
    int64_t calls = 0;
    double elapsed = 0;
    do {
      for (int64_t i = 0; i < block; ++i) run();
      if (wait) wait();
      calls += block;
      elapsed = std::chrono::duration<double>(Clock::now() - start).count();
    } while (elapsed < seconds && !wait);
    // Who queues is waited for once a sample: calls are added until one wait is enough.
    if (elapsed >= seconds) times.push_back(1e6 * elapsed / static_cast<double>(calls));
    const double enough = static_cast<double>(calls) * seconds / elapsed;
    const double next = wait ? std::min(1.2 * enough, 10.0 * static_cast<double>(calls)) : enough / 16;
    block = std::max<int64_t>(1, static_cast<int64_t>(next));
  }
  return times;
}

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(q * static_cast<double>(values.size() - 1) + 0.5)];
}

double mean_absolute(const float* x, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += std::abs(double(x[i]));
  return sum / static_cast<double>(n);
}

}  // namespace meander::bench
