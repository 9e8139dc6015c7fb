// Meander's kernels beside what the machine can do at best: time, GFLOP/s, GB/s and their shares of the peaks.
//
//   bench_kernels [--threads N] [--benchmark_filter=mlp_forward ...]
#include "bench/google.h"

using namespace meander::bench;

int main(int argc, char** argv) {
  return run_benchmarks(argc, argv, [](const Options&, const Peaks& peaks) {
    for (const std::string& name : case_names())
      if (!name.starts_with("mfpo_update/") && !name.starts_with("act/")) add_case(name, peaks);
  });
}
