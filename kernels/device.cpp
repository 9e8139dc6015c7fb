#include <meander/kernels/device.h>

#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include <meander/kernels/error.h>

namespace meander::kernels {
namespace {

// ---- the CPU as a device: all work is done at once, so there is nothing to wait for or to record -----------------------

void* allocate(size_t bytes) {
  void* p = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
  if (!p) throw std::bad_alloc();
  return p;
}
void copy(void* to, const void* from, size_t bytes) { std::memcpy(to, from, bytes); }
void fill(void* p, int byte, size_t bytes) { std::memset(p, byte, bytes); }
void no_graph() { throw Failure("the CPU records no graphs"); }

RandomKey at(const RandomKey& key, const uint64_t* step) { return {key.seed, key.purpose, step ? *step : key.step}; }

const DeviceKernels cpu = [] {
  DeviceKernels k{};
  k.name = "cpu";
  k.shares_memory = true;
  k.allocate = allocate, k.deallocate = std::free, k.copy = copy, k.fill = fill;
  k.allocate_host = allocate, k.deallocate_host = std::free;
  k.synchronise = [] {};
  k.begin_capture = [](bool) { no_graph(); };
  k.end_capture = []() -> void* { return no_graph(), nullptr; };
  k.launch_graph = k.destroy_graph = [](void*) { no_graph(); };

  k.fill_value = kernels::fill_value<float>, k.binary = kernels::binary<float>, k.affine = kernels::affine<float>;
  k.add_scaled = kernels::add_scaled<float>, k.interpolate = kernels::interpolate<float>;
  k.square_root = kernels::square_root<float>, k.relu = kernels::relu<float>, k.clip = kernels::clip<float>, k.inside = kernels::inside<float>;
  k.copy_matrix = kernels::copy_matrix<float>, k.concat_columns = kernels::concat_columns<float>;
  k.add_to = kernels::add_to<float>;
  k.sum_groups = kernels::sum_groups<float>, k.argmax_row = kernels::argmax_row<float>;
  k.one_hot = kernels::one_hot<float>, k.gather_row = kernels::gather_row<float>;
  k.gather_rows = kernels::gather_rows<float>;
  k.flag_not_finite = [](std::span<const FiniteOf> all, uint32_t* flag) {
    for (const FiniteOf& f : all) kernels::flag_not_finite(f.n, f.x, f.number, flag);
  };
  k.gather_numbers = [](std::span<const NumberOf> all, float* y) {
    for (const NumberOf& n : all) y[n.to] = *n.from;
  };

  k.exp = kernels::exp, k.log = kernels::log, k.tanh = kernels::tanh, k.sigmoid = kernels::sigmoid;
  k.sincos = kernels::sincos;
  k.activation = kernels::activation, k.activation_slope = kernels::activation_slope;

  k.sum_row = kernels::sum_row, k.sum_column = kernels::sum_column, k.max_row = kernels::max_row;
  k.softmax = kernels::softmax, k.log_sum_exp = kernels::log_sum_exp;
  k.mean = kernels::mean, k.normal_log_prob = kernels::normal_log_prob;
  k.softmax_expectation = kernels::softmax_expectation, k.layer_norm = kernels::layer_norm;
  k.c51_project = kernels::c51_project, k.c51_project_transpose = kernels::c51_project_transpose;
  k.truncated_normal = kernels::truncated_normal, k.normal_mass_ratio = kernels::normal_mass_ratio;

  k.philox_bits = [](const RandomKey& key, const uint64_t* step, int64_t n, uint32_t* out) {
    kernels::philox_bits(at(key, step), n, out);
  };
  k.philox_uniform = [](const RandomKey& key, const uint64_t* step, int64_t n, float* out) {
    kernels::philox_uniform(at(key, step), n, out);
  };
  k.philox_normal = [](const RandomKey& key, const uint64_t* step, int64_t n, float* out) {
    kernels::philox_normal(at(key, step), n, out);
  };
  k.philox_draws = [](std::span<const DrawOf> all, const uint64_t* step) {
    for (const DrawOf& d : all) (d.normal ? kernels::philox_normal : kernels::philox_uniform)(at(d.key, step), d.n, d.out);
  };
  k.philox_index = [](const RandomKey& key, const uint64_t* step, int64_t n, uint32_t bound, uint32_t* out) {
    kernels::philox_index(at(key, step), n, bound, out);
  };
  k.adam = [](std::span<const AdamOf> all, const AdamConstants& constants, float tau, int64_t number,
              const uint64_t* step, const uint32_t* stop) {
    if (stop && *stop != 0) return;
    for (const AdamOf& a : all) {
      kernels::adam(a.n, constants, step ? static_cast<int64_t>(*step) : number, a.gradient, a.params, a.m, a.v);
      if (a.target) kernels::exponential_average(a.n, tau, a.params, a.target);
    }
  };
  k.exponential_average = [](int64_t n, float tau, const float* source, float* target, const uint32_t* stop) {
    if (!stop || *stop == 0) kernels::exponential_average(n, tau, source, target);
  };

  k.product_workspace = kernels::product_workspace, k.dense = kernels::dense;
  k.product_nt = kernels::product_nt, k.product_tn = kernels::product_tn;

  k.mlp_prepared_size = kernels::mlp_prepared_size, k.mlp_prepare = kernels::mlp_prepare;
  k.mlp_tape_size = kernels::mlp_tape_size, k.mlp_workspace = kernels::mlp_workspace;
  k.mlp_forward = kernels::mlp_forward, k.mlp_forward_projected = kernels::mlp_forward_projected;
  k.mlp_forward_shared = kernels::mlp_forward_shared;
  k.mlp_value_and_gradient_shared = kernels::mlp_value_and_gradient_shared;
  k.mlp_value_and_tangent = kernels::mlp_value_and_tangent;
  k.mlp_value_and_directions = kernels::mlp_value_and_directions, k.mlp_backward = kernels::mlp_backward;

  k.embedding_workspace = kernels::embedding_workspace, k.embedding_forward = kernels::embedding_forward;
  k.embedding_value_and_tangent = kernels::embedding_value_and_tangent;
  k.embedding_backward = kernels::embedding_backward;

  k.cross_entropy = kernels::cross_entropy, k.cross_entropy_gradient = kernels::cross_entropy_gradient;
  k.mean_squared_error = kernels::mean_squared_error;
  k.mean_squared_error_gradient = kernels::mean_squared_error_gradient;
  k.interval = kernels::interval, k.mean_flow_target = kernels::mean_flow_target<float>;
  k.gaussian_proposals = kernels::gaussian_proposals, k.proposal_weights = kernels::proposal_weights;
  k.proposal_velocity = kernels::proposal_velocity, k.soft_target = kernels::soft_target;
  k.hutchinson = kernels::hutchinson;
  k.replay_batch = kernels::replay_batch;
  return k;
}();

const DeviceKernels* (*finders[3])(const char** why) = {[](const char**) { return &cpu; }, nullptr, nullptr};
thread_local const DeviceKernels* this_device = &cpu;

}  // namespace

void register_device(Device which, const DeviceKernels* (*find)(const char** why)) {
  finders[static_cast<int>(which)] = find;
}

const DeviceKernels* device_kernels(Device which, const char** why) {
  const char* reason = "this program was built without it";
  const auto find = finders[static_cast<int>(which)];
  const DeviceKernels* const found = find ? find(&reason) : nullptr;
  if (why) *why = found ? "" : reason;
  return found;
}

const DeviceKernels& current() { return *this_device; }
bool on_cpu() { return this_device == &cpu; }

DeviceScope::DeviceScope(const DeviceKernels& kernels) : before_(std::exchange(this_device, &kernels)) {}
DeviceScope::DeviceScope(Device which) : before_(this_device) {
  const char* why;
  const DeviceKernels* const found = device_kernels(which, &why);
  if (!found) throw Error(message("no device ", which == Device::cuda ? "cuda" : "cuda-emulated", ": ", why));
  this_device = found;
}
DeviceScope::~DeviceScope() { this_device = before_; }

}  // namespace meander::kernels
