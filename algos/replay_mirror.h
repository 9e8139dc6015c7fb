#pragma once

#include <memory>

#include <meander/algos/agent.h>
#include <meander/algos/replay.h>

namespace meander::kernels { struct DeviceKernels; }

namespace meander {

// The rows of a replay in the memory of a device, so that an update gathers its batch there and only what was written
// since the last one is sent: three rows an environment at most, in one copy each, two where its ring begins anew.
class ReplayMirror {
 public:
  // Both must outlive it. Throws Failure if the device has no memory for all rows.
  ReplayMirror(const kernels::DeviceKernels& device, Replay& replay);

  // Queues the copy of all rows that changed. The work queued before must be done, for its copies read the same memory.
  // Waits only if there are many rows: at the first time, and after a checkpoint was loaded.
  void refresh();
  // Queues the gathering of the batch's state, action, reward and next_state, which get memory from the current
  // device's arena; its `rows` lie on the device.
  void gather(Batch& batch) const;

 private:
  using Memory = std::unique_ptr<float, void (*)(void*)>;

  const kernels::DeviceKernels& device_;
  Replay& replay_;
  int64_t stride_, staged_rows_;
  Memory rows_;    // [replay.rows(), stride], on the device
  Memory staging_; // [staged_rows, stride], of the host, which the device reads by itself
};

}  // namespace meander
