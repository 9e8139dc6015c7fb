#pragma once

#include <benchmark/benchmark.h>

#include "bench/cases.h"
#include "bench/machine.h"

// What the Google Benchmark programs share.
namespace meander::bench {

// What the command line says beside Google Benchmark's own flags.
struct Options {
  int threads;         // --threads N, else MEANDER_BENCH_THREADS, else all
  int calls = 100000;  // --calls N: of an act/... benchmark
};

// The main function of a program: reads the options, sets the threads, measures and prints the machine's peaks, lets
// `add` register benchmarks and runs them. Returns the exit status; bad arguments give one line and 2.
int run_benchmarks(int argc, char** argv, const std::function<void(const Options&, const Peaks&)>& add);

// Registers a case of cases.h, with its rates and their shares of the machine's as counters.
void add_case(const std::string& name, const Peaks& peaks);
// Those counters, from the seconds of one call.
void count_rates(benchmark::State& state, const Case& timed, double seconds, const Peaks& peaks);

}  // namespace meander::bench
