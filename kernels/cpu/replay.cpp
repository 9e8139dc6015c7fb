#include <meander/kernels/replay.h>

#include <meander/kernels/arrays.h>
#include <meander/kernels/threads.h>

namespace meander::kernels {

void replay_batch(const ReplayBatchArguments& p) {
  parallel_for(p.batch, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const uint32_t* const row = p.row + i * (p.steps + 1);
      const auto at = [&](int64_t k) { return p.rows + row[k] * p.stride; };
      copy_row(at(0), p.observations, p.state + i * p.observations);
      for (int64_t k = 0; k < p.chunk; ++k)
        copy_row(at(k) + p.observations, p.actions, p.action + (i * p.chunk + k) * p.actions);
      for (int64_t k = 0; k < p.steps; ++k) p.reward[i * p.steps + k] = at(k)[p.observations + p.actions];
      copy_row(at(p.steps), p.observations, p.next_state + i * p.observations);
    }
  });
}

}  // namespace meander::kernels
