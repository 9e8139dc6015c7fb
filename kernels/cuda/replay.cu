#include <meander/kernels/cuda/elements.h>

// Batches from a replay's rows: kernels/replay.h. A warp for each row that is named: neighbours read neighbours.
namespace meander::kernels::MEANDER_CUDA {
namespace {

__global__ void replay_batch_kernel(ReplayBatchArguments p) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int64_t S = p.observations, A = p.actions, named = p.steps + 1;
  const bool wide = S % 4 == 0 && p.stride % 4 == 0 && aligned(p.rows) && aligned(p.state) && aligned(p.next_state);
  const auto copy_observation = [&](const float* x, float* y) {
    if (wide)
      for (int64_t q = lane; q < S / 4; q += 32) store4(y, q, load4(x, q));
    else
      for (int64_t j = lane; j < S; j += 32) y[j] = x[j];
  };
  for (int64_t e = this_thread() / 32; e < p.batch * named; e += all_threads() / 32) {
    const int64_t i = divide(e, named), k = e - i * named;
    const float* const row = p.rows + p.row[e] * p.stride;
    if (k == 0) copy_observation(row, p.state + i * S);
    if (k < p.chunk)
      for (int64_t j = lane; j < A; j += 32) p.action[(i * p.chunk + k) * A + j] = row[S + j];
    if (k == p.steps) copy_observation(row, p.next_state + i * S);
    else if (lane == 0) p.reward[i * p.steps + k] = row[S + A];
  }
}

}  // namespace

void replay_batch(const ReplayBatchArguments& p) {
  const int64_t threads = p.batch * (p.steps + 1) * 32;
  if (threads > 0) launch(replay_batch_kernel, blocks_for(threads, element_block), element_block, 0, p);
}

}  // namespace meander::kernels::MEANDER_CUDA
