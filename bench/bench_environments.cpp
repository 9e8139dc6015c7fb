// Control steps a second: Meander's environments, MuJoCo's mj_step alone on the same states and controls, and several
// environments over the threads.
//
//   bench_environments
#include "bench/environments.h"
#include "bench/google.h"

using namespace meander::bench;

namespace {

void add(const std::string& name, const std::string& label, Case (*make)(const std::string&), int steps = 1) {
  benchmark::RegisterBenchmark((name + label).c_str(), [=](benchmark::State& state) {
    const Case timed = make(name);
    timed.run();
    for (auto _ : state) timed.run();
    state.SetItemsProcessed(state.iterations() * steps);
  })->UseRealTime()->Unit(benchmark::kMicrosecond);
}

}  // namespace

int main(int argc, char** argv) {
  return run_benchmarks(argc, argv, [](const Options&, const Peaks&) {
    for (const std::string& name : environment_case_names()) add(name, "/meander", make_environment_case);
    for (const std::string& name : raw_step_case_names()) add(name, "/mj_step", make_raw_step_case);
    for (const std::string& name : side_by_side_case_names())
      add(name, "/meander", make_side_by_side_case, side_by_side);
  });
}
