#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <meander/algos/device_agent.h>
#include <meander/algos/mfpo.h>
#include "bench/device_cases.h"
#include "bench/replay_batch.h"
#include <meander/kernels/device.h>
#include <meander/kernels/error.h>
#include <meander/kernels/cuda/devices.h>
#include <meander/kernels/cuda/emulator/executor.h>
#include <meander/kernels/dependencies.h>

// The time of one MFPO update on a GPU as arithmetic says, call by call: what the functions of kernels/device.h are
// asked for in an update at the paper's sizes (counted on the CPU), how many launches each takes (counted in the
// emulator, on a small network), the least time for that by a GPU's published figures, and what must wait for what.
// Prints Markdown.
//     bench_floor [OBSERVATIONS ACTIONS] [--calls] [--device cuda [--once]]
// --calls lists the update call by call; with --device cuda each is timed too, alone, in a graph that repeats it. --once does
// one update there, kernel after kernel and without a graph, and nothing else: for a profiler. --device cuda-emulated tries
// the same on sizes that say nothing.
namespace meander {
namespace {

using kernels::Accesses;
using kernels::DeviceKernels;
using kernels::MlpShape;

struct Call {
  std::string name;
  double bytes, sums;             // bytes moved; multiply-adds of matrix products, two operations each
  uint64_t launches;
  std::vector<size_t> after;      // the calls it must wait for
  double measured = 0;            // microseconds
};
std::vector<Call> calls;
kernels::Dependencies dependencies;
const DeviceKernels* timed_on = nullptr;
bool counting = false;

// Published for the H200 SXM (NVIDIA data sheet, 2024): 4.8 TB/s; 494.7 TFLOP/s in dense tf32, of which float32 in three
// products of tf32 parts gets a third. Per microsecond.
constexpr double bandwidth = 4.8e6, products = 494.7e6 / 3;
// Microseconds between the starts of two dependent kernels of a graph: an assumption, to be measured.
constexpr double launch_time = 1.5;

double floor_of(const Call& c) { return std::max(c.bytes / bandwidth, 2 * c.sums / products); }

double time_of(const std::function<void()>& run) {
  const bench::Case repeated = bench::recorded(*timed_on, {.run = run});
  return bench::quantile(bench::time_samples(repeated.run, 9, 0, repeated.wait), 0.5) / repeated.calls;
}

// A function of the table whose calls are noted.
template <auto member>
struct Traced;
template <class... Arguments, void (*DeviceKernels::*member)(Arguments...)>
struct Traced<member> {
  static inline void (*original)(Arguments...);
  static inline std::function<void(Accesses&, Arguments...)> accesses;
  static inline std::function<double(Arguments...)> sums;   // multiply-adds; empty: none
  static inline const DeviceKernels* device;
  static inline const char* name;

  static void call(Arguments... arguments) {
    const uint64_t before = kernels::emulated::launches();
    original(arguments...);
    if (!counting) return;
    Accesses touched(*device);
    accesses(touched, arguments...);
    // A copy or a fill is one node of a graph as a kernel is.
    Call c{name, 0, sums ? sums(arguments...) : 0, std::max<uint64_t>(1, kernels::emulated::launches() - before),
           dependencies.add(touched)};
    for (const kernels::Access& a : touched) c.bytes += double(a.bytes);
    if (timed_on) c.measured = time_of([&] { original(arguments...); });
    calls.push_back(std::move(c));
  }
};

double weights(const MlpShape& s) {
  double n = 0;
  for (int l = 0; l < s.layers; ++l) n += double(s.width[l]) * double(s.width[l + 1]);
  return n;
}
double weights(const kernels::EmbeddingShape& s) { return double(s.hidden * (2 * s.frequencies + s.width)); }
double first_layer(const MlpShape& s, int64_t inputs) { return double(inputs * s.width[1]); }

// Multiply-adds of the functions that have matrix products.
void count_products() {
  using K = DeviceKernels;
  const auto product = [](int64_t m, int64_t n, int64_t k, auto...) { return double(m) * double(n) * double(k); };
  Traced<&K::dense>::sums = product, Traced<&K::product_nt>::sums = product, Traced<&K::product_tn>::sums = product;
  Traced<&K::mlp_forward>::sums = [](auto& s, auto, int64_t rows, auto&&...) { return double(rows) * weights(s); };
  Traced<&K::mlp_forward_projected>::sums = [](auto& s, auto, int64_t rows, int64_t own, auto&&...) {
    return double(rows) * (weights(s) - first_layer(s, s.width[0] - own));
  };
  Traced<&K::mlp_forward_shared>::sums = [](auto& s, auto, int64_t rows, int64_t own, auto, int64_t group, auto&&...) {
    const double shared = first_layer(s, s.width[0] - own);
    return double(rows) * (weights(s) - shared) + double(rows / group) * shared;
  };
  Traced<&K::mlp_value_and_tangent>::sums = [](auto& s, auto, int64_t rows, auto, int64_t moving, auto&&...) {
    return double(rows + moving) * weights(s);
  };
  Traced<&K::mlp_value_and_directions>::sums = [](auto& s, auto, int64_t rows, auto, int64_t n, auto, int64_t cols, auto&&...) {
    return double(rows) * weights(s) + double(rows * n) * (weights(s) - first_layer(s, s.width[0] - cols));
  };
  Traced<&K::mlp_backward>::sums = [](auto& s, auto, int64_t rows, auto, auto, auto, float* dx, float* dparams, auto) {
    return double(rows) * (weights(s) - (dx ? 0 : first_layer(s, s.width[0])) + (dparams ? weights(s) : 0));
  };
  Traced<&K::embedding_forward>::sums = [](auto& s, auto, int64_t rows, auto&&...) { return double(rows) * weights(s); };
  Traced<&K::embedding_value_and_tangent>::sums = [](auto& s, auto, int64_t rows, auto, int64_t moving, auto&&...) {
    return double(rows + moving) * weights(s);
  };
  Traced<&K::embedding_backward>::sums = [](auto& s, auto, int64_t rows, auto&&...) { return 2 * double(rows) * weights(s); };
}

// The calls of an update on a device.
std::vector<Call> run_update(const DeviceKernels& device, const MfpoSettings& settings, int observations, int actions) {
  DeviceKernels& traced = *new DeviceKernels(device);   // this thread's arena of it lives to the end
  kernels::for_each_function([&]<auto member>(kernels::Function<member>, const char* name, auto accesses) {
    using T = Traced<member>;
    T::original = device.*member, T::accesses = accesses, T::device = &device, T::name = name;
    if (device.*member) traced.*member = T::call;
  });
  traced.shares_memory = false;   // the CPU too gathers its batch as a GPU does
  DeviceAgent agent(traced, [&] { return settings.make_agent(observations, actions, 1); });
  std::vector<float> metrics(agent.metric_names().size());
  bench::ReplayBatch batch(agent);
  // The second update is recorded: what is counted is what the graph repeats.
  traced.begin_capture = [](bool) { calls.clear(), dependencies = {}, counting = true; };
  traced.end_capture = []() -> void* { return counting = false, &calls; };
  traced.launch_graph = traced.destroy_graph = [](void*) {};
  for (uint64_t step : {1, 2}) agent.update(batch.draw(step), step, metrics);
  return calls;
}

struct Sum {
  size_t calls = 0;
  uint64_t launches = 0;
  double bytes = 0, sums = 0, floor = 0, measured = 0;
  void add(const Call& c) {
    ++calls, launches += c.launches, bytes += c.bytes, sums += c.sums, floor += floor_of(c), measured += c.measured;
  }
  void print(const std::string& name) const {
    std::printf("| %s | %zu | %llu | %.2f | %.3f | %.1f | %.1f |", name.c_str(), calls,
                static_cast<unsigned long long>(launches), bytes / 1e6, 2 * sums / 1e9, floor, double(launches) * launch_time);
    if (timed_on) std::printf(" %.1f |", measured);
    std::printf("\n");
  }
};

// The calls that nothing can make shorter but making them shorter: the way through the update that takes longest.
std::vector<size_t> longest_way(const std::vector<Call>& all) {
  std::vector<double> end(all.size());
  std::vector<size_t> from(all.size(), all.size());
  size_t last = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    for (const size_t before : all[i].after)
      if (end[before] > (from[i] < i ? end[from[i]] : 0)) from[i] = before;
    end[i] = (from[i] < i ? end[from[i]] : 0) +
             (timed_on ? all[i].measured : floor_of(all[i]) + double(all[i].launches) * launch_time);
    if (end[i] > end[last]) last = i;
  }
  std::vector<size_t> way;
  for (size_t i = last; i < all.size(); i = from[i]) way.insert(way.begin(), i);
  return way;
}

// The update in order: what waits for what, and which calls make the longest way.
void list_calls(const std::vector<Call>& all, const std::vector<size_t>& way) {
  std::printf("\n| call | function | waits for | MB | longest way |\n|---|---|---|---|---|\n");
  for (size_t i = 0; i < all.size(); ++i) {
    std::string after;
    for (const size_t before : all[i].after) after += " " + std::to_string(before);
    std::printf("| %zu | %s |%s | %.3f | %s |\n", i, all[i].name.c_str(), after.c_str(), all[i].bytes / 1e6,
                std::find(way.begin(), way.end(), i) != way.end() ? "x" : "");
  }
}

int update_once(const DeviceKernels& device, const MfpoSettings& settings, int observations, int actions) {
  DeviceAgent agent(device, [&] { return settings.make_agent(observations, actions, 1); });
  std::vector<float> metrics(agent.metric_names().size());
  bench::ReplayBatch batch(agent);
  agent.update(batch.draw(1), 1, metrics);
  return 0;
}

struct Options {
  int observations = 17, actions = 6;
  std::string device;   // empty: the CPU, on which is only counted
  bool calls = false, once = false;
};

int floor_of_update(const Options& options) {
  count_products();
  const DeviceKernels& emulator = bench::find_device("cuda-emulated");
  MfpoSettings small;   // as many launches: they depend on what is done, not on the sizes
  small.batch_size = 4, small.policy_proposals = 2, small.gaussian_proposals = 2, small.atoms = 11;
  small.actor_width = small.critic_width = 16;
  const MfpoSettings paper = options.device == emulator.name ? small : MfpoSettings();
  const DeviceKernels& device =
      options.device.empty() ? *kernels::device_kernels(kernels::Device::cpu) : bench::find_device(options.device);
  if (options.once) return update_once(device, paper, options.observations, options.actions);

  const auto emulated = run_update(emulator, small, 5, 2);
  if (!options.device.empty()) timed_on = &device;
  std::vector<Call> update = run_update(device, paper, options.observations, options.actions);
  if (update.size() != emulated.size()) throw Error("the small update makes other calls than the large one");
  for (size_t i = 0; i < update.size(); ++i) update[i].launches = emulated[i].launches;

  std::map<std::string, Sum> functions;
  Sum all;
  for (const Call& c : update) functions[c.name].add(c), all.add(c);
  std::printf("One MFPO update, %d observations, %d actions, batch %lld, on %s.\n\n", options.observations,
              options.actions, static_cast<long long>(paper.batch_size), device.name);
  std::printf("| function | calls | nodes | MB | GFLOP | floor, us | nodes, us |%s\n|---|---|---|---|---|---|---|%s\n",
              timed_on ? " measured alone, us |" : "", timed_on ? "---|" : "");
  for (const auto& [name, sum] : functions) sum.print(name);
  all.print("**all**");
  const std::vector<size_t> way = longest_way(update);
  Sum longest;
  for (const size_t i : way) longest.add(update[i]);
  longest.print("**of these on the longest way**");
  if (options.calls) list_calls(update, way);
  return 0;
}

int run(int argc, char** argv) {
  Options options;
  int numbers = 0;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--device" && i + 1 < argc)
      options.device = argv[++i];
    else if (word == "--calls")
      options.calls = true;
    else if (word == "--once")
      options.once = true;
    else if (numbers < 2 && std::atoi(argv[i]) > 0)
      (numbers++ ? options.actions : options.observations) = std::atoi(argv[i]);
    else
      throw Error("bench_floor: expected [OBSERVATIONS ACTIONS] [--calls] [--once] [--device NAME]; got " + word);
  }
  return floor_of_update(options);
}

}  // namespace
}  // namespace meander

int main(int argc, char** argv) {
  try {
    return meander::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
