// Time from a state to an action, each call by itself: mean, median, 99th percentile and the slowest.
//
//   bench_acting [--threads N] [--calls N]      100,000 calls if not said
#include <chrono>

#include "bench/google.h"

using namespace meander::bench;

namespace {

void act(benchmark::State& state, const std::string& name) {
  const Case timed = make_case(name, Data());
  for (int i = 0; i < 100; ++i) timed.run();
  std::vector<double> times;
  times.reserve(static_cast<size_t>(state.max_iterations));
  for (auto _ : state) {
    const auto start = std::chrono::steady_clock::now();
    timed.run();
    times.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count());
  }
  double sum = 0;
  for (const double t : times) sum += t;
  state.counters["mean_us"] = sum / static_cast<double>(times.size());
  for (const auto& [label, q] : {std::pair("p50_us", 0.5), std::pair("p99_us", 0.99), std::pair("max_us", 1.0)})
    state.counters[label] = quantile(times, q);
}

}  // namespace

int main(int argc, char** argv) {
  return run_benchmarks(argc, argv, [](const Options& options, const Peaks&) {
    for (const std::string& name : case_names())
      if (name.starts_with("act/"))
        benchmark::RegisterBenchmark(name.c_str(), [name](benchmark::State& state) { act(state, name); })
            ->UseRealTime()
            ->Unit(benchmark::kMicrosecond)
            ->Iterations(options.calls);
  });
}
