#include <meander/algos/replay_mirror.h>

#include <algorithm>

#include <meander/core/arena.h>
#include <meander/kernels/device.h>

namespace meander {

// Rows begin at multiples of 16 bytes, for vectors of four. An update sends at most three rows of an environment: the
// former head, now with its action, the final observation of its episode, and the first of the next.
ReplayMirror::ReplayMirror(const kernels::DeviceKernels& device, Replay& replay)
    : device_(device), replay_(replay), stride_((replay.row_width() + 3) / 4 * 4),
      staged_rows_(std::min<int64_t>(replay.rows(), 1024 + 3 * replay.environments())),
      rows_(static_cast<float*>(device.allocate(static_cast<size_t>(replay.rows() * stride_) * sizeof(float))),
            device.deallocate),
      staging_(static_cast<float*>(device.allocate_host(static_cast<size_t>(staged_rows_ * stride_) * sizeof(float))),
               device.deallocate_host) {
  replay.begin_copy();
}

void ReplayMirror::refresh() {
  int64_t used = 0;
  while (true) {
    if (used == staged_rows_) device_.synchronise(), used = 0;
    const Replay::Stretch rows = replay_.take_written(staged_rows_ - used);
    if (rows.count == 0) return;
    float* const from = staging_.get() + used * stride_;
    replay_.read(rows, stride_, from);
    device_.copy(rows_.get() + rows.first * stride_, from, static_cast<size_t>(rows.count * stride_) * sizeof(float));
    used += rows.count;
  }
}

void ReplayMirror::gather(Batch& batch) const {
  for (Tensor* t : {&batch.state, &batch.action, &batch.reward, &batch.next_state}) *t = empty(t->rows, t->cols);
  const int64_t S = batch.state.cols, A = replay_.row_width() - 1 - S;
  device_.replay_batch({.batch = batch.rows.rows, .steps = batch.reward.cols, .chunk = batch.action.cols / A,
                        .observations = S, .actions = A, .stride = stride_, .rows = rows_.get(),
                        .row = batch.rows.as<uint32_t>(), .state = batch.state.f32(), .action = batch.action.f32(),
                        .reward = batch.reward.f32(), .next_state = batch.next_state.f32()});
}

}  // namespace meander
