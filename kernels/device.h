#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <meander/kernels/arrays.h>
#include <meander/kernels/candidates.h>
#include <meander/kernels/dense.h>
#include <meander/kernels/elementwise.h>
#include <meander/kernels/embedding.h>
#include <meander/kernels/losses.h>
#include <meander/kernels/mean_flow.h>
#include <meander/kernels/mfpo.h>
#include <meander/kernels/mlp.h>
#include <meander/kernels/optimiser.h>
#include <meander/kernels/philox.h>
#include <meander/kernels/replay.h>
#include <meander/kernels/rows.h>
#include <meander/kernels/truncated_normal.h>

namespace meander::kernels {

// A device, the CPU among them: its memory, its stream of work, and the functions of kernels/*.h as it has them. Each has
// the contract stated there, with these differences on another device than the CPU:
//   - pointers to numbers are the device's, structures and sizes the host's; work is queued, not waited for;
//   - results agree with the CPU's to the tolerances of tests/cuda, not always bit for bit.
// `step` points to memory of the device that holds the step when the work runs, or is null: then the given number counts.
struct DeviceKernels {
  const char* name;                                            // "cpu", "cuda", "cuda-emulated"
  bool shares_memory;                                          // with the host, as embedded GPUs do

  // ---- memory and stream ---------------------------------------------------------------------------------------------
  void* (*allocate)(size_t bytes);                             // throws Failure when there is none; not cleared
  void (*deallocate)(void*);
  // Any direction. Waits if `to` is the host's and the work is not being recorded.
  void (*copy)(void* to, const void* from, size_t bytes);
  // Memory of the host that the device copies from and to by itself, and that kernels reach too, if slowly.
  void* (*allocate_host)(size_t bytes);
  void (*deallocate_host)(void*);
  void (*fill)(void* p, int byte, size_t bytes);
  void (*synchronise)();                                       // waits for all work; throws Failure if some failed
  // Between the two, work is recorded instead of done; the graph then does it all at each launch: with `branches` each
  // call as soon as those are done that it must wait for (kernels/dependencies.h), else one after the other.
  void (*begin_capture)(bool branches);
  void* (*end_capture)();
  void (*launch_graph)(void* graph);
  void (*destroy_graph)(void* graph);

  // ---- arrays.h ------------------------------------------------------------------------------------------------------
  decltype(&kernels::fill_value<float>) fill_value;
  decltype(&kernels::binary<float>) binary;
  decltype(&kernels::affine<float>) affine;
  decltype(&kernels::add_scaled<float>) add_scaled;
  decltype(&kernels::interpolate<float>) interpolate;
  decltype(&kernels::square_root<float>) square_root;
  decltype(&kernels::relu<float>) relu;
  decltype(&kernels::clip<float>) clip;
  decltype(&kernels::inside<float>) inside;
  decltype(&kernels::copy_matrix<float>) copy_matrix;
  decltype(&kernels::concat_columns<float>) concat_columns;
  decltype(&kernels::add_to<float>) add_to;
  decltype(&kernels::sum_groups<float>) sum_groups;
  decltype(&kernels::argmax_row<float>) argmax_row;
  decltype(&kernels::one_hot<float>) one_hot;
  decltype(&kernels::gather_row<float>) gather_row;
  decltype(&kernels::gather_rows<float>) gather_rows;
  void (*flag_not_finite)(std::span<const FiniteOf>, uint32_t* flag);
  void (*gather_numbers)(std::span<const NumberOf>, float* y);

  // ---- elementwise.h -------------------------------------------------------------------------------------------------
  decltype(&kernels::exp) exp, log, tanh, sigmoid;
  decltype(&kernels::sincos) sincos;
  decltype(&kernels::activation) activation, activation_slope;                  // activation.h

  // ---- rows.h --------------------------------------------------------------------------------------------------------
  decltype(&kernels::sum_row) sum_row, sum_column, max_row, softmax, log_sum_exp;
  decltype(&kernels::softmax_expectation) softmax_expectation;
  decltype(&kernels::mean) mean;
  decltype(&kernels::normal_log_prob) normal_log_prob;
  decltype(&kernels::layer_norm) layer_norm;
  decltype(&kernels::c51_project) c51_project;
  decltype(&kernels::c51_project_transpose) c51_project_transpose;

  // ---- truncated_normal.h --------------------------------------------------------------------------------------------
  decltype(&kernels::truncated_normal) truncated_normal;
  decltype(&kernels::normal_mass_ratio) normal_mass_ratio;

  // ---- philox.h ------------------------------------------------------------------------------------------------------
  void (*philox_bits)(const RandomKey&, const uint64_t* step, int64_t n, uint32_t* out);
  void (*philox_uniform)(const RandomKey&, const uint64_t* step, int64_t n, float* out);
  void (*philox_normal)(const RandomKey&, const uint64_t* step, int64_t n, float* out);
  void (*philox_draws)(std::span<const DrawOf>, const uint64_t* step);
  void (*philox_index)(const RandomKey&, const uint64_t* step, int64_t n, uint32_t bound, uint32_t* out);

  // ---- optimiser.h; both do nothing where *stop (device memory, or null) is not 0 ------------------------------------
  void (*adam)(std::span<const AdamOf>, const AdamConstants&, float tau, int64_t number, const uint64_t* step,
               const uint32_t* stop);
  void (*exponential_average)(int64_t n, float tau, const float* source, float* target, const uint32_t* stop);

  // ---- dense.h -------------------------------------------------------------------------------------------------------
  decltype(&kernels::product_workspace) product_workspace;
  decltype(&kernels::dense) dense;
  decltype(&kernels::product_nt) product_nt, product_tn;

  // ---- mlp.h ---------------------------------------------------------------------------------------------------------
  decltype(&kernels::mlp_prepared_size) mlp_prepared_size;
  decltype(&kernels::mlp_prepare) mlp_prepare;
  decltype(&kernels::mlp_tape_size) mlp_tape_size, mlp_workspace;
  decltype(&kernels::mlp_forward) mlp_forward;
  decltype(&kernels::mlp_forward_projected) mlp_forward_projected;
  decltype(&kernels::mlp_forward_shared) mlp_forward_shared;
  decltype(&kernels::mlp_value_and_gradient_shared) mlp_value_and_gradient_shared;
  decltype(&kernels::mlp_value_and_tangent) mlp_value_and_tangent;
  decltype(&kernels::mlp_value_and_directions) mlp_value_and_directions;
  decltype(&kernels::mlp_backward) mlp_backward;
  // The plain forms, layer by layer with one thread a sum: to read, to compare with. A workspace of their own size.
  decltype(&kernels::mlp_tape_size) mlp_reference_workspace;
  decltype(&kernels::mlp_forward) mlp_forward_reference;
  decltype(&kernels::mlp_value_and_tangent) mlp_value_and_tangent_reference;
  decltype(&kernels::mlp_backward) mlp_backward_reference;

  // ---- embedding.h ---------------------------------------------------------------------------------------------------
  decltype(&kernels::embedding_workspace) embedding_workspace;
  decltype(&kernels::embedding_forward) embedding_forward;
  decltype(&kernels::embedding_value_and_tangent) embedding_value_and_tangent;
  decltype(&kernels::embedding_backward) embedding_backward;

  // ---- losses.h ------------------------------------------------------------------------------------------------------
  decltype(&kernels::cross_entropy) cross_entropy;
  decltype(&kernels::cross_entropy_gradient) cross_entropy_gradient;
  decltype(&kernels::mean_squared_error) mean_squared_error;
  decltype(&kernels::mean_squared_error_gradient) mean_squared_error_gradient;

  // ---- mean_flow.h ---------------------------------------------------------------------------------------------------
  decltype(&kernels::interval) interval;
  decltype(&kernels::mean_flow_target<float>) mean_flow_target;

  // ---- mfpo.h --------------------------------------------------------------------------------------------------------
  decltype(&kernels::gaussian_proposals) gaussian_proposals;
  decltype(&kernels::proposal_weights) proposal_weights;
  decltype(&kernels::proposal_velocity) proposal_velocity;
  decltype(&kernels::soft_target) soft_target;
  decltype(&kernels::hutchinson) hutchinson;

  // ---- candidates.h; null on the CPU, where a launch costs nothing and the functions above do as well -----------------
  int64_t (*candidates_workspace)(const CandidatesOf&);        // floats; 0: too large for this device to do in one go
  void (*best_candidate)(const CandidatesOf&, float* workspace);

  // ---- replay.h ------------------------------------------------------------------------------------------------------
  decltype(&kernels::replay_batch) replay_batch;
};

enum class Device { cpu, cuda, cuda_emulated };

// What a device offers; null for one that is not compiled in or not there: `why` then says so.
const DeviceKernels* device_kernels(Device, const char** why = nullptr);
void register_device(Device, const DeviceKernels* (*find)(const char** why));   // by the library that has it

// The device on which this thread's kernels run and where its new tensors and buffers lie. The CPU at first.
const DeviceKernels& current();
bool on_cpu();

// Until the end of the scope, this device. Throws Error if it is not there.
class DeviceScope {
 public:
  explicit DeviceScope(Device);
  explicit DeviceScope(const DeviceKernels&);
  ~DeviceScope();
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

 private:
  const DeviceKernels* before_;
};

}  // namespace meander::kernels
