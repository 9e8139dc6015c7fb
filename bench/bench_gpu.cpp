#include <dlfcn.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "algos/device_agent.h"
#include "algos/mfpo.h"
#include "bench/perceptron.h"
#include "bench/replay_batch.h"
#include "bench/timing.h"
#include "core/error.h"
#include "kernels/cuda/devices.h"

// Times of a GPU's kernels, of an MFPO update and of acting, beside cuBLAS for the plain products of the same sizes.
//     bench_gpu [--device cuda|cuda-emulated] [--small] [--samples N]      JSON on standard output
// Every time is the median of samples; a sample is a graph of many calls, so that starting them costs nothing. --small
// takes sizes that the emulator can do: what it times says nothing of a GPU, only that the program runs.
namespace meander::bench {
namespace {

using kernels::DeviceKernels;
using nlohmann::json;

struct Bench {
  const DeviceKernels& device;
  int samples;
  int calls;         // in a graph
  json results = json::array();

  void report(const std::string& name, const std::vector<double>& microseconds, double flop, double bytes) {
    const double median = quantile(microseconds, 0.5);
    json line = {{"name", name}, {"us", median}, {"us_10", quantile(microseconds, 0.1)},
                 {"us_90", quantile(microseconds, 0.9)}};
    if (flop > 0) line["gflops"] = flop / median * 1e-3;
    if (bytes > 0) line["gbytes_per_s"] = bytes / median * 1e-3;
    results.push_back(line);
    std::fprintf(stderr, "%-40s %10.2f us  %9.1f GFLOP/s  %8.1f GB/s\n", name.c_str(), median, flop / median * 1e-3,
                 bytes / median * 1e-3);
  }
  // What can be recorded.
  void time(const std::string& name, double flop, double bytes, const std::function<void()>& run) {
    run();
    device.synchronise();
    device.begin_capture(false);
    for (int i = 0; i < calls; ++i) run();
    void* const graph = device.end_capture();
    std::vector<double> times = host_times([&] { device.launch_graph(graph); });
    for (double& t : times) t /= calls;
    device.destroy_graph(graph);
    report(name, times, flop, bytes);
  }
  std::vector<double> host_times(const std::function<void()>& run) {
    std::vector<double> times;
    for (int i = -2; i < samples; ++i) {
      const auto start = std::chrono::steady_clock::now();
      run();
      device.synchronise();
      if (i >= 0) times.push_back(1e6 * std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    return times;
  }
};

// cuBLAS where the machine has it; opened at run time, for the programs must start without.
class Cublas {
 public:
  Cublas() {
    for (const char* name : {"libcublas.so.13", "libcublas.so.12", "libcublas.so"})
      if ((library_ = dlopen(name, RTLD_NOW))) break;
    if (!library_) return;
    const auto create = find<int (*)(void**)>("cublasCreate_v2");
    if (!create || create(&handle_) != 0) library_ = nullptr;
  }
  explicit operator bool() const { return library_ != nullptr; }
  // tf32: products of factors rounded to it.
  void math(bool tf32) { find<int (*)(void*, int)>("cublasSetMathMode")(handle_, tf32 ? 3 : 0); }
  // c [m, n] = a [m, k] b [k, n], row-major: as columns c' = b' a'.
  void product(int64_t m, int64_t n, int64_t k, const float* a, const float* b, float* c) {
    const float one = 1, zero = 0;
    static const auto sgemm = find<int (*)(void*, int, int, int, int, int, const float*, const float*, int, const float*,
                                           int, const float*, float*, int)>("cublasSgemm_v2");
    const int rows = static_cast<int>(n), cols = static_cast<int>(m), inner = static_cast<int>(k);
    if (sgemm(handle_, 0, 0, rows, cols, inner, &one, b, rows, a, inner, &zero, c, rows) != 0)
      throw Failure("cuBLAS refused a product");
  }

 private:
  template <class F>
  F find(const char* name) {
    return reinterpret_cast<F>(dlsym(library_, name));
  }
  void* library_ = nullptr;
  void* handle_ = nullptr;
};

void networks(Bench& bench, const std::vector<int64_t>& all_rows, const std::vector<int64_t>& widths, bool cublas_too) {
  const Data data;
  Perceptron host(data, "mlp", widths, kernels::Norm::before_activation);
  const kernels::MlpShape& shape = host.shape;
  const DeviceKernels& k = bench.device;
  const auto up = [&](const Buffer& x) {
    const kernels::DeviceScope scope(k);
    Buffer y(x.size());
    y.set(x.data());
    return y;
  };
  const auto room = [&](int64_t n) {
    const kernels::DeviceScope scope(k);
    return Buffer(n);
  };
  Buffer params = up(host.params), gradient = room(host.params.size());
  Cublas cublas;
  for (const int64_t rows : all_rows) {
    const int64_t in = widths.front(), out = widths.back();
    Buffer x = up(data.normals("x", rows * in)), dx = up(data.normals("dx", rows * in));
    Buffer cotangent = up(data.normals("dy", rows * out)), y = room(rows * out), dy = room(rows * out);
    Buffer tape = room(k.mlp_tape_size(shape, rows)), workspace = room(k.mlp_workspace(shape, 2 * rows));
    const std::string of = "/" + std::to_string(rows);
    const double flop = host.flop(rows), bytes = host.bytes(rows);
    bench.time("mlp_forward" + of, flop, bytes, [&] {
      k.mlp_forward(shape, params.data(), rows, x.data(), y.data(), nullptr, workspace.data(), {});
    });
    bench.time("mlp_forward_bfloat16" + of, flop, bytes, [&] {
      k.mlp_forward(shape, params.data(), rows, x.data(), y.data(), nullptr, workspace.data(),
                    kernels::Precision::bfloat16);
    });
    bench.time("mlp_forward_tf32" + of, flop, bytes, [&] {
      k.mlp_forward(shape, params.data(), rows, x.data(), y.data(), nullptr, workspace.data(), kernels::Precision::tf32);
    });
    bench.time("mlp_value_and_tangent" + of, 2 * flop, bytes, [&] {
      k.mlp_value_and_tangent(shape, params.data(), rows, x.data(), rows, dx.data(), y.data(), dy.data(), tape.data(),
                              workspace.data());
    });
    bench.time("mlp_backward" + of, 2 * flop - 2.0 * double(rows * widths[0] * widths[1]), bytes, [&] {
      k.mlp_backward(shape, params.data(), rows, x.data(), tape.data(), cotangent.data(), nullptr, gradient.data(),
                     workspace.data());
    });
    if (!cublas || !cublas_too) continue;
    std::vector<Buffer> between;   // the products alone, one layer's result the next one's input
    for (size_t l = 1; l < widths.size(); ++l) between.push_back(room(rows * widths[l]));
    for (const bool tf32 : {false, true}) {
      cublas.math(tf32);
      const auto products = [&] {
        for (int l = 0; l < shape.layers; ++l)
          cublas.product(rows, widths[static_cast<size_t>(l) + 1], widths[static_cast<size_t>(l)],
                         l ? between[static_cast<size_t>(l) - 1].data() : x.data(), params.data() + shape.weight[l],
                         between[static_cast<size_t>(l)].data());
      };
      products();   // its first call allocates
      // cuBLAS runs on its own stream: waited for by copying from its result.
      std::vector<double> times;
      float last;
      for (int i = 0; i < bench.samples; ++i) {
        const auto start = std::chrono::steady_clock::now();
        for (int c = 0; c < bench.calls; ++c) products();
        k.copy(&last, between.back().data(), sizeof last);
        times.push_back(1e6 / bench.calls *
                        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
      }
      bench.report((tf32 ? "cublas_tf32_products" : "cublas_products") + of, times, flop, bytes);
    }
  }
}

void agent(Bench& bench, const std::string& task, int observations, int actions, bool small) {
  MfpoSettings settings;
  if (small) {
    settings.batch_size = 8, settings.actor_width = settings.critic_width = 16, settings.atoms = 11;
    settings.policy_proposals = settings.gaussian_proposals = 2;
  }
  const Data data;
  DeviceAgent agent(bench.device, [&] { return settings.make_agent(observations, actions, 1); });
  ReplayBatch batch(agent);
  const Buffer state = data.normals("state", observations);
  std::vector<float> metrics(agent.metric_names().size()), chosen(static_cast<size_t>(actions));
  uint64_t step = 0;
  const auto update = [&] { ++step, agent.update(batch.draw(step), step, metrics); };
  bench.report("mfpo_update/" + task, bench.host_times(update), 0, 0);
  const std::span<const float> one(state.data(), static_cast<size_t>(observations));
  bench.report("act/explore/" + task, bench.host_times([&] { agent.explore(one, ++step, chosen); }), 0, 0);
  bench.report("act/evaluate_10/" + task, bench.host_times([&] { agent.act(one, ++step, chosen); }), 0, 0);
}

int run(int argc, char** argv) {
  bool small = false, emulated = false;
  int samples = 30;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--small") small = true;
    else if (word == "--device" && i + 1 < argc) emulated = std::string(argv[++i]) == "cuda-emulated";
    else if (word == "--samples" && i + 1 < argc) samples = std::atoi(argv[++i]);
    else throw Error("bench_gpu: expected --device NAME, --small, --samples N; got " + word);
  }
  kernels::emulated::register_emulator();
#if defined(MEANDER_WITH_CUDA)
  kernels::cuda::register_cuda();
#endif
  const char* why;
  const auto which = emulated ? kernels::Device::cuda_emulated : kernels::Device::cuda;
  const DeviceKernels* device = kernels::device_kernels(which, &why);
  if (!device) throw Error(message("no GPU to measure: ", why));
  Bench bench{*device, samples, small ? 2 : 50};
  if (small)
    networks(bench, {3}, {7, 16, 16, 4}, false);
  else
    networks(bench, {64, 256, 1024, 4096, 12288}, {87, 256, 256, 256, 6}, true);
  agent(bench, "HalfCheetah", small ? 3 : 17, small ? 2 : 6, small);
  if (!small) agent(bench, "Humanoid", 376, 17, false);
  std::printf("%s\n", json{{"device", device->name}, {"samples", samples}, {"results", bench.results}}.dump(1).c_str());
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
