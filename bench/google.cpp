#include "bench/google.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include <meander/kernels/error.h>
#include <meander/kernels/isa.h>
#include <meander/kernels/threads.h>

namespace meander::bench {
namespace {

int positive(const char* what, const char* text) {
  char* end = nullptr;
  const long number = text ? std::strtol(text, &end, 10) : 0;
  if (!text || *text == 0 || *end != 0 || number < 1 || number > 1'000'000'000)
    throw Error(message(what, " wants a number from 1, got '", text ? text : "", "'"));
  return static_cast<int>(number);
}

// Takes our own options out of the arguments.
Options take_options(int& argc, char** argv) {
  Options options{.threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()))};
  if (const char* const given = std::getenv("MEANDER_BENCH_THREADS"))
    options.threads = positive("MEANDER_BENCH_THREADS", given);
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    int* const option = !std::strcmp(argv[i], "--threads") ? &options.threads
                        : !std::strcmp(argv[i], "--calls") ? &options.calls
                                                           : nullptr;
    if (!option) {
      argv[kept++] = argv[i];
      continue;
    }
    *option = positive(argv[i], i + 1 < argc ? argv[i + 1] : nullptr);
    ++i;
  }
  argc = kept;
  argv[argc] = nullptr;
  return options;
}

void print(const char* what, double rate, const char* unit, const std::string& of) {
  char text[100];
  std::snprintf(text, sizeof text, "%.1f %s%s%s%s", 1e-9 * rate, unit, of.empty() ? "" : " (", of.c_str(),
                of.empty() ? "" : ")");
  benchmark::AddCustomContext(what, rate > 0 ? text : "none");
}

// Prints the peaks on one thread and on all with the rest of the header, and into the JSON file.
Peaks measure_and_print(int threads) {
  Peaks peaks;
  for (int n = 1; n <= threads; n += std::max(1, threads - 1)) {
    kernels::set_threads(n);
    peaks = measure_peaks();
    const std::string on = n == 1 ? ", 1 thread" : ", " + std::to_string(n) + " threads";
    print(("peak of float32 FMA" + on).c_str(), peaks.fma, "GFLOP/s", fma_instructions());
    print(("peak of bfloat16 dot products" + on).c_str(), peaks.bf16, "GFLOP/s", "");
    print(("stream triad" + on).c_str(), peaks.triad, "GB/s", "");
    print(("OpenBLAS sgemm 1536" + on).c_str(), peaks.sgemm, "GFLOP/s", sgemm_core());
  }
  return peaks;
}

}  // namespace

void count_rates(benchmark::State& state, const Case& timed, double seconds, const Peaks& peaks) {
  if (timed.flop > 0) {
    state.counters["GFLOP/s"] = 1e-9 * timed.flop / seconds;
    state.counters["share_of_fma_peak"] = timed.flop / seconds / peaks.fma;
  }
  if (timed.bytes > 0) {
    state.counters["GB/s"] = 1e-9 * timed.bytes / seconds;
    state.counters["share_of_stream"] = timed.bytes / seconds / peaks.triad;
  }
}

void add_case(const std::string& name, const Peaks& peaks) {
  benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
    const Case timed = make_case(name, Data());
    timed.run(), timed.run();
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    for (auto _ : state) timed.run();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    count_rates(state, timed, seconds / double(state.iterations()), peaks);
  })->UseRealTime()->Unit(benchmark::kMicrosecond);
}

int run_benchmarks(int argc, char** argv, const std::function<void(const Options&, const Peaks&)>& add) {
  try {
    const Options options = take_options(argc, argv);
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    const Peaks peaks = measure_and_print(options.threads);
    kernels::set_threads(options.threads);
    benchmark::AddCustomContext("threads", std::to_string(options.threads));
    benchmark::AddCustomContext("kernels", kernels::isa_name(kernels::isa()));
    add(options, peaks);
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
  } catch (const Error& error) {
    std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
    return 1;
  }
}

}  // namespace meander::bench
