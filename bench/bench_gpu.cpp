#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include <meander/algos/device_agent.h>
#include <meander/algos/mfpo.h>
#include "bench/device_cases.h"
#include "bench/replay_batch.h"
#include <meander/kernels/device.h>
#include <meander/kernels/error.h>

// Times on a GPU where no other library is at hand: the cases of the comparison (peers/peers.py --device), and the
// update and the acting of a training loop, batches drawn from a replay.
//     bench_gpu [--device cuda|cuda-emulated] [--small] [--samples N]      JSON on standard output
// Every time is the median of samples. --small takes sizes that the emulator can do: what it times says nothing of a
// GPU, only that the program runs.
namespace meander::bench {
namespace {

using kernels::DeviceKernels;
using kernels::Precision;
using nlohmann::json;

struct Bench {
  const DeviceKernels& device;
  int samples;
  json results = json::array();

  void time(const std::string& name, const Case& timed) {
    const double seconds = timed.wait ? 0.02 : 0;   // what is waited for inside is timed call by call
    time_samples(timed.run, 2, seconds, timed.wait);
    std::vector<double> times = time_samples(timed.run, samples, seconds, timed.wait);
    for (double& us : times) us /= timed.calls;
    const double median = quantile(times, 0.5);
    json line = {{"name", name}, {"us", median}, {"us_10", quantile(times, 0.1)}, {"us_90", quantile(times, 0.9)}};
    if (timed.flop > 0) line["gflops"] = timed.flop / median * 1e-3;
    if (timed.bytes > 0) line["gbytes_per_s"] = timed.bytes / median * 1e-3;
    results.push_back(line);
    std::fprintf(stderr, "%-40s %10.2f us  %9.1f GFLOP/s  %8.1f GB/s\n", name.c_str(), median,
                 timed.flop / median * 1e-3, timed.bytes / median * 1e-3);
  }
};

void cases(Bench& bench, bool small) {
  const Data data;
  const auto rounded = rounded_case_names();
  for (const std::string& name : portable_case_names()) {
    if (small && name != "mlp_forward/1" && name != "mlp_value_and_tangent/1" && name != "mlp_backward/1") continue;
    for (const auto& [precision, suffix] : {std::pair{Precision::float32, ""}, std::pair{Precision::tf32, " tf32"},
                                            std::pair{Precision::bfloat16, " bfloat16"}})
      if (precision == Precision::float32 || std::ranges::count(rounded, name))
        bench.time(name + suffix, make_device_case(bench.device, name, data, precision));
  }
}

void training(Bench& bench, const std::string& task, int observations, int actions, bool small) {
  MfpoSettings settings;
  if (small) {
    settings.batch_size = 8, settings.actor_width = settings.critic_width = 16, settings.atoms = 11;
    settings.policy_proposals = settings.gaussian_proposals = 2;
  }
  const auto make = [&] { return settings.make_agent(observations, actions, 1); };
  for (const bool branches : {false, true}) {   // of the update's graph: to see what they gain
    DeviceAgent agent(bench.device, make, branches);
    ReplayBatch batch(agent);
    std::vector<float> metrics(agent.metric_names().size());
    uint64_t step = 0;
    bench.time("training/update/" + task + (branches ? "" : " in order"),
               {.run = [&] { ++step, agent.update(batch.draw(step), step, metrics); }});
  }
  DeviceAgent agent(bench.device, make);
  const Buffer state = Data().normals("state", observations);
  const std::span<const float> one(state.data(), static_cast<size_t>(observations));
  std::vector<float> chosen(static_cast<size_t>(actions));
  uint64_t step = 0;
  bench.time("training/explore/" + task, {.run = [&] { agent.explore(one, ++step, chosen); }});
  bench.time("training/evaluate_10/" + task, {.run = [&] { agent.act(one, ++step, chosen); }});
}

int run(int argc, char** argv) {
  bool small = false;
  std::string name = "cuda";
  int samples = 30;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--small") small = true;
    else if (word == "--device" && i + 1 < argc) name = argv[++i];
    else if (word == "--samples" && i + 1 < argc) samples = std::atoi(argv[++i]);
    else throw Error("bench_gpu: expected --device NAME, --small, --samples N; got " + word);
  }
  Bench bench{find_device(name), samples};
  cases(bench, small);
  training(bench, "HalfCheetah", small ? 3 : 17, small ? 2 : 6, small);
  if (!small) training(bench, "Humanoid", 376, 17, false);
  std::printf("%s\n",
              json{{"device", bench.device.name}, {"samples", samples}, {"results", bench.results}}.dump(1).c_str());
  return 0;
}

}  // namespace
}  // namespace meander::bench

int main(int argc, char** argv) {
  try {
    return meander::bench::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
