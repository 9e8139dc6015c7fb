#pragma once

#include <cstddef>

#include <meander/kernels/arrays.h>
#include <meander/kernels/candidates.h>
#include <meander/kernels/dense.h>
#include <meander/kernels/elementwise.h>
#include <meander/kernels/embedding.h>
#include <meander/kernels/functions.h>
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
struct DeviceKernels {
  const char* name;                                            // "cpu", "cuda", "cuda-emulated"
  bool shares_memory;                                          // with the host, as embedded GPUs do
  const char* (*about)();                                      // the machine in words: "NVIDIA H200 (compute 9.0, ...)"

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

  // ---- the functions of kernels/functions.h -------------------------------------------------------------------------
#define MEANDER_MEMBER(name) decltype(&kernels::name) name;
#define MEANDER_FLOAT_MEMBER(name) decltype(&kernels::name<float>) name;
  MEANDER_ALL_FUNCTIONS(MEANDER_MEMBER, MEANDER_FLOAT_MEMBER)
#undef MEANDER_MEMBER
#undef MEANDER_FLOAT_MEMBER
};

enum class Device { cpu, cuda, cuda_emulated };

// What a device offers; null where there is none: `why` then says so. It is looked for in this program, if that
// registered one, else in its module (kernels/modules.h).
const DeviceKernels* device_kernels(Device, const char** why = nullptr);
void register_device(Device, const DeviceKernels* (*find)(const char** why));

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
