// Time of one MFPO update against the time OpenBLAS takes for the matrix products of that update alone.
//
//   bench_update [--threads N]
//
// Each repetition times the update, then the products in processes of their own (peer_openblas, no spinning threads
// beside the update's), with the core OpenBLAS picks and told to use its AVX-512 kernels (it does not know every
// processor that has them). The faster counts. ratio is update / products: 1 means all but the products was free.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "bench/google.h"
#include <meander/kernels/error.h>

using namespace meander::bench;

namespace {

// Median milliseconds of the products of one update; 0 where peer_openblas was not built.
double products(const std::string& task, int threads, const std::string& environment) {
  const auto worker = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "peer_openblas";
  if (!std::filesystem::exists(worker)) return 0;
  const std::string request = R"({"case": "products_of_update/)" + task + R"(", "samples": 5, "seconds": 0})";
  const std::string command = "echo '" + request + "' | " + environment + " '" + worker.string() + "' --threads " +
                              std::to_string(threads);
  FILE* const pipe = popen(command.c_str(), "r");
  if (!pipe) throw meander::Failure("cannot start peer_openblas");
  std::string answer;
  for (int c; (c = std::fgetc(pipe)) != EOF;) {
    if (c == '\n' && answer.find("\"us\"") == std::string::npos) answer.clear();
    else answer.push_back(static_cast<char>(c));
  }
  if (pclose(pipe) != 0) throw meander::Failure("peer_openblas failed: " + command);
  return 1e-3 * quantile(nlohmann::json::parse(answer).at("us").get<std::vector<double>>(), 0.5);
}

void update(benchmark::State& state, const std::string& task, int threads, const Peaks& peaks) {
  const Case timed = make_case("mfpo_update/" + task, Data());
  timed.run(), timed.run();
  std::vector<double> times;
  for (auto _ : state) {
    const auto start = std::chrono::steady_clock::now();
    timed.run();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    state.SetIterationTime(seconds);
    times.push_back(seconds);
  }
  const double seconds = quantile(times, 0.5);
  count_rates(state, timed, seconds, peaks);
  const double picked = products(task, threads, ""), told = products(task, threads, "OPENBLAS_CORETYPE=SKYLAKEX");
  if (picked == 0) return;
  state.counters["products_ms"] = picked;
  state.counters["products_skylakex_ms"] = told;
  state.counters["ratio"] = 1e3 * seconds / std::min(picked, told);
}

}  // namespace

int main(int argc, char** argv) {
  return run_benchmarks(argc, argv, [](const Options& options, const Peaks& peaks) {
    for (const char* const task : {"HalfCheetah", "Humanoid"})
      benchmark::RegisterBenchmark((std::string("mfpo_update/") + task).c_str(),
                                   [=](benchmark::State& state) { update(state, task, options.threads, peaks); })
          ->UseManualTime()
          ->Unit(benchmark::kMillisecond)
          ->Iterations(9)
          ->Repetitions(5);
  });
}
