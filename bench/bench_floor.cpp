#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "algos/device_agent.h"
#include "algos/mfpo.h"
#include "bench/replay_batch.h"
#include "kernels/cuda/devices.h"
#include "kernels/cuda/emulator/executor.h"

// The time of one MFPO update on a GPU as arithmetic says, kernel by kernel: what the functions of kernels/device.h are
// asked for in an update at the paper's sizes (counted on the CPU), how many launches each takes (counted in the
// emulator, on a small network), and the least time for that by a GPU's published figures. Prints Markdown.
//     bench_floor [OBSERVATIONS ACTIONS]
namespace meander {
namespace {

using kernels::DeviceKernels;
using kernels::MlpShape;

struct Cost {
  double bytes = 0;   // read and written, each number once
  double sums = 0;    // multiply-adds of matrix products, two operations each
};
struct Row {
  int calls = 0;
  uint64_t launches = 0;
  Cost cost;
  double floor = 0;   // seconds: of each call the larger of its two times
};
std::map<std::string, Row> rows;
bool counting = false, count_launches = false;

// Published for the H200 SXM (NVIDIA data sheet, 2024): 4.8 TB/s; 494.7 TFLOP/s in dense tf32, of which float32 in three
// products of tf32 parts gets a third.
constexpr double bandwidth = 4.8e12, products = 494.7e12 / 3;
// Between the starts of two dependent kernels of a graph: an assumption, to be measured.
constexpr double launch_time = 1.5e-6;

// A function of the table that is counted before it is called.
template <auto member>
struct Traced;
template <class Result, class... Arguments, Result (*DeviceKernels::*member)(Arguments...)>
struct Traced<member> {
  static inline Result (*original)(Arguments...);
  static inline std::function<Cost(Arguments...)> cost;
  static inline const char* name;

  static Result call(Arguments... arguments) {
    const uint64_t before = kernels::emulated::launches();
    original(arguments...);
    if (!counting) return;
    Row& row = rows[name];
    if (count_launches) {
      row.launches += kernels::emulated::launches() - before;
      return;
    }
    const Cost c = cost(arguments...);
    ++row.calls;
    row.cost.bytes += c.bytes, row.cost.sums += c.sums;
    row.floor += std::max(c.bytes / bandwidth, 2 * c.sums / products);
  }
  static void install(DeviceKernels& k, const char* called, std::function<Cost(Arguments...)> how) {
    original = k.*member, cost = std::move(how), name = called;
    k.*member = call;
  }
};

double weights(const MlpShape& s) {
  double n = 0;
  for (int l = 0; l < s.layers; ++l) n += double(s.width[l]) * double(s.width[l + 1]);
  return n;
}
double hidden(const MlpShape& s) {
  double n = 0;
  for (int l = 1; l < s.layers; ++l) n += double(s.width[l]);
  return n;
}
double in(const MlpShape& s) { return double(s.width[0]); }
double out(const MlpShape& s) { return double(s.width[s.layers]); }

double weights(const kernels::EmbeddingShape& s) { return double(s.hidden * (2 * s.frequencies + s.width)); }

// `numbers` of four bytes, `sums` multiply-adds.
Cost numbers(double n, double sums = 0) { return {4 * n, sums}; }

void install(DeviceKernels& k) {
  using K = DeviceKernels;
  const auto elements = [](double arrays) { return [=](int64_t n, auto...) { return numbers(arrays * double(n)); }; };
  const auto matrix = [](double arrays) {
    return [=](int64_t r, int64_t c, auto...) { return numbers(arrays * double(r * c)); };
  };
  Traced<&K::fill_value>::install(k, "fill_value", elements(1));
  Traced<&K::affine>::install(k, "affine", elements(2));
  Traced<&K::add_scaled>::install(k, "add_scaled", elements(3));
  Traced<&K::interpolate>::install(k, "interpolate", matrix(3));
  Traced<&K::mean>::install(k, "mean", elements(1));
  Traced<&K::normal_log_prob>::install(k, "normal_log_prob", matrix(1));
  Traced<&K::cross_entropy>::install(k, "cross_entropy", matrix(2));
  Traced<&K::cross_entropy_gradient>::install(k, "cross_entropy_gradient", matrix(3));
  Traced<&K::mean_squared_error>::install(k, "mean_squared_error", elements(2));
  Traced<&K::mean_squared_error_gradient>::install(k, "mean_squared_error_gradient", elements(3));
  Traced<&K::concat_columns>::install(k, "concat_columns", [](int64_t r, int64_t ac, auto, auto, int64_t bc, auto...) {
    return numbers(2 * double(r * (ac + bc)));
  });
  Traced<&K::gaussian_proposals>::install(k, "gaussian_proposals", [](int64_t b, int64_t a, int64_t n, auto...) {
    return numbers(double(b * a * (3 + 3 * n)));
  });
  Traced<&K::proposal_weights>::install(k, "proposal_weights", [](auto& p) {
    const int64_t both = p.policy_count + p.gaussian_count;
    return numbers(double(p.batch * (p.actions * (1 + p.policy_count) + p.policy_count + 3 * both)));
  });
  Traced<&K::proposal_velocity>::install(k, "proposal_velocity", [](auto& p) {
    return numbers(double(p.batch * (p.policy_count + p.gaussian_count + 4) * (p.actions + 1)));
  });
  Traced<&K::soft_target>::install(k, "soft_target", [](auto& s) { return numbers(double(6 * s.batch * s.atoms)); });
  Traced<&K::replay_batch>::install(k, "replay_batch", [](auto& p) {
    return numbers(double(p.batch * (2 * (2 * p.observations + p.chunk * p.actions + p.steps) + p.steps + 1)));
  });
  Traced<&K::square_root>::install(k, "square_root", elements(2));
  Traced<&K::relu>::install(k, "relu", elements(2));
  Traced<&K::clip>::install(k, "clip", elements(2));
  Traced<&K::inside>::install(k, "inside", elements(2));
  Traced<&K::add_to>::install(k, "add_to", elements(3));
  Traced<&K::exp>::install(k, "exp", elements(2));
  Traced<&K::log>::install(k, "log", elements(2));
  Traced<&K::tanh>::install(k, "tanh", elements(2));
  Traced<&K::sigmoid>::install(k, "sigmoid", elements(2));
  Traced<&K::gelu>::install(k, "gelu", elements(2));
  Traced<&K::gelu_slope>::install(k, "gelu_slope", elements(2));
  Traced<&K::sincos>::install(k, "sincos", elements(3));
  Traced<&K::truncated_normal>::install(k, "truncated_normal", elements(4));
  Traced<&K::flag_not_finite>::install(k, "flag_not_finite", [](auto all, auto) {
    double n = 0;
    for (const auto& f : all) n += double(f.n);
    return numbers(n);
  });
  Traced<&K::interval>::install(k, "interval", [](auto& i) { return numbers(4 * double(i.rows)); });
  Traced<&K::mean_flow_target>::install(k, "mean_flow_target", [](int64_t rows, int64_t cols, int64_t still, auto...) {
    return numbers(double(rows * (2 + 2 * cols) + (rows - still) * cols));
  });
  Traced<&K::gather_numbers>::install(k, "gather_numbers", [](auto all, auto) { return numbers(2.0 * double(all.size())); });
  Traced<&K::philox_draws>::install(k, "philox_draws", [](auto all, auto) {
    double n = 0;
    for (const auto& d : all) n += double(d.n);
    return numbers(n);
  });
  Traced<&K::binary>::install(k, "binary", [](auto, int64_t r, int64_t c, auto, int64_t ar, int64_t ac, auto, int64_t br,
                                              int64_t bc, auto) { return numbers(double(r * c + ar * ac + br * bc)); });
  Traced<&K::copy_matrix>::install(k, "copy_matrix", matrix(2));
  Traced<&K::sum_groups>::install(k, "sum_groups", [](int64_t r, int64_t c, int64_t g, auto...) {
    return numbers(double(r * c * (g + 1)));
  });
  Traced<&K::sum_row>::install(k, "sum_row", matrix(1));
  Traced<&K::sum_column>::install(k, "sum_column", matrix(1));
  Traced<&K::softmax>::install(k, "softmax", matrix(2));
  Traced<&K::log_sum_exp>::install(k, "log_sum_exp", matrix(1));
  Traced<&K::softmax_expectation>::install(k, "softmax_expectation", matrix(1));
  Traced<&K::c51_project>::install(k, "c51_project", matrix(3));
  Traced<&K::philox_uniform>::install(k, "philox_uniform", [](auto&, auto, int64_t n, auto) { return numbers(double(n)); });
  Traced<&K::philox_normal>::install(k, "philox_normal", [](auto&, auto, int64_t n, auto) { return numbers(double(n)); });
  Traced<&K::adam>::install(k, "adam", [](auto all, auto&&...) {
    double n = 0;
    for (const auto& a : all) n += double((a.target ? 9 : 7) * a.n);
    return numbers(n);
  });
  Traced<&K::exponential_average>::install(k, "exponential_average", [](int64_t n, auto...) { return numbers(3 * double(n)); });
  const auto product = [](int64_t m, int64_t n, int64_t q, auto...) {
    return numbers(double(m * n + n * q + m * q), double(m) * double(n) * double(q));
  };
  Traced<&K::dense>::install(k, "dense", product);
  Traced<&K::product_nt>::install(k, "product_nt", product);
  Traced<&K::product_tn>::install(k, "product_tn", product);
  Traced<&K::mlp_prepare>::install(k, "mlp_prepare", [](auto& s, auto...) { return numbers(2 * weights(s)); });
  Traced<&K::mlp_forward>::install(k, "mlp_forward", [](auto& s, auto, int64_t r, auto, auto, const float* tape, auto&&...) {
    return numbers(weights(s) + double(r) * (in(s) + out(s) + (tape ? 2 * hidden(s) : 0)), double(r) * weights(s));
  });
  Traced<&K::mlp_forward_projected>::install(
      k, "mlp_forward_projected", [](auto& s, auto, int64_t r, int64_t own, auto, auto, int64_t group, auto&&...) {
        const double first = in(s) * double(s.width[1]);
        return numbers(weights(s) - first + double(r) * (double(own) + out(s)) + double(r / group * s.width[1]),
                       double(r) * (weights(s) - first + double(own * s.width[1])));
      });
  Traced<&K::mlp_forward_shared>::install(
      k, "mlp_forward_shared", [](auto& s, auto, int64_t r, int64_t own, auto, int64_t group, auto&&...) {
        const double shared = in(s) - double(own), first = double(s.width[1]);
        return numbers(weights(s) + double(r) * (double(own) + out(s)) + double(r / group) * shared,
                       double(r) * (weights(s) - shared * first) + double(r / group) * shared * first);
      });
  Traced<&K::mlp_value_and_tangent>::install(
      k, "mlp_value_and_tangent", [](auto& s, auto, int64_t r, auto, int64_t moving, auto, auto, auto, const float* tape, auto) {
        const double all = double(r + moving);
        return numbers(weights(s) + all * (in(s) + out(s)) + (tape ? 2 * double(r) * hidden(s) : 0), all * weights(s));
      });
  Traced<&K::mlp_value_and_directions>::install(
      k, "mlp_value_and_directions", [](auto& s, auto, int64_t r, auto, int64_t n, auto, int64_t cols, auto&&...) {
        const double first = (in(s) - double(cols)) * double(s.width[1]);
        return numbers(weights(s) + double(r) * (in(s) + out(s)) + double(r * n) * (double(cols) + out(s)),
                       double(r) * weights(s) + double(r * n) * (weights(s) - first));
      });
  Traced<&K::mlp_backward>::install(
      k, "mlp_backward", [](auto& s, auto, int64_t r, auto, auto, auto, float* dx, float* dparams, auto) {
        const double first = dx ? 0 : in(s) * double(s.width[1]);
        return numbers(2 * weights(s) + double(r) * (in(s) + 2 * hidden(s) + out(s)),
                       double(r) * (weights(s) - first + (dparams ? weights(s) : 0)));
      });
  Traced<&K::embedding_forward>::install(
      k, "embedding_forward", [](auto& s, auto, int64_t r, auto, auto, const float* tape, auto) {
        return numbers(weights(s) + double(r * (1 + s.width) + (tape ? kernels::embedding_tape_size(s, r) : 0)),
                       double(r) * weights(s));
      });
  Traced<&K::embedding_value_and_tangent>::install(
      k, "embedding_value_and_tangent",
      [](auto& s, auto, int64_t r, auto, int64_t moving, auto, auto, auto, const float* tape, auto) {
        const int64_t all = r + moving;
        return numbers(weights(s) + double(all * (1 + s.width) + (tape ? kernels::embedding_tape_size(s, r) : 0)),
                       double(all) * weights(s));
      });
  Traced<&K::embedding_backward>::install(k, "embedding_backward", [](auto& s, auto, int64_t r, auto&&...) {
    return numbers(2 * weights(s) + double(r * s.width + kernels::embedding_tape_size(s, r)),
                   2 * double(r) * weights(s));
  });
}

void run_update(const DeviceKernels& device, const MfpoSettings& settings, int observations, int actions) {
  DeviceKernels& traced = *new DeviceKernels(device);   // this thread's arena of it lives to the end
  install(traced);
  traced.shares_memory = false;   // the CPU too gathers its batch as a GPU does
  DeviceAgent agent(traced, [&] { return settings.make_agent(observations, actions, 1); });
  std::vector<float> metrics(agent.metric_names().size());
  bench::ReplayBatch batch(agent);
  // The second update is recorded: what is counted is what the graph repeats.
  traced.begin_capture = [] { rows.clear(), counting = true; };
  traced.end_capture = []() -> void* { return counting = false, &rows; };
  traced.launch_graph = traced.destroy_graph = [](void*) {};
  for (uint64_t step : {1, 2}) agent.update(batch.draw(step), step, metrics);
}

int floor_of_update(int observations, int actions) {
  kernels::emulated::register_emulator();
  MfpoSettings paper;
  run_update(*kernels::device_kernels(kernels::Device::cpu), paper, observations, actions);
  const std::map<std::string, Row> counted = rows;

  MfpoSettings small;   // as many launches: they depend on what is done, not on the sizes
  small.batch_size = 4, small.policy_proposals = 2, small.gaussian_proposals = 2, small.atoms = 11;
  small.actor_width = small.critic_width = 16;
  count_launches = true;
  run_update(*kernels::device_kernels(kernels::Device::cuda_emulated), small, 5, 2);

  std::printf("One MFPO update, %d observations, %d actions, batch %lld, the paper's sizes.\n\n", observations, actions,
              static_cast<long long>(paper.batch_size));
  std::printf("| function | calls | launches | MB | GFLOP | floor, us | launches, us |\n|---|---|---|---|---|---|---|\n");
  Row sum;
  for (const auto& [name, row] : counted) {
    const uint64_t launches = rows[name].launches;
    std::printf("| %s | %d | %llu | %.2f | %.3f | %.1f | %.1f |\n", name.c_str(), row.calls,
                static_cast<unsigned long long>(launches), row.cost.bytes / 1e6, 2 * row.cost.sums / 1e9, row.floor * 1e6,
                double(launches) * launch_time * 1e6);
    sum.calls += row.calls, sum.launches += launches, sum.floor += row.floor;
    sum.cost.bytes += row.cost.bytes, sum.cost.sums += row.cost.sums;
  }
  std::printf("| **all** | %d | %llu | %.2f | %.3f | %.1f | %.1f |\n", sum.calls,
              static_cast<unsigned long long>(sum.launches), sum.cost.bytes / 1e6, 2 * sum.cost.sums / 1e9, sum.floor * 1e6,
              double(sum.launches) * launch_time * 1e6);
  return 0;
}

}  // namespace
}  // namespace meander

int main(int argc, char** argv) {
  const int observations = argc > 2 ? std::atoi(argv[1]) : 17, actions = argc > 2 ? std::atoi(argv[2]) : 6;
  return meander::floor_of_update(observations, actions);
}
