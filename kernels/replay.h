#pragma once

#include <cstdint>

namespace meander::kernels {

// A batch of B draws of n successive steps each, of which the first h <= n actions are wanted, from the rows of a
// replay, float32. A row holds an observation [S], an action [A] and its reward one after the other; the next row
// begins `stride` >= S + A + 1 numbers later. `row` names those of the n steps and that of the observation after them.
//   state_i = observation of row_i0          action_ik = action of row_ik, k < h
//   reward_ik = reward of row_ik, k < n      next_state_i = observation of row_in
struct ReplayBatchArguments {
  int64_t batch, steps, chunk;                    // B, n, h
  int64_t observations, actions, stride;          // S, A
  const float* rows;
  const uint32_t* row;                            // [B, n + 1]
  float *state, *action, *reward, *next_state;    // [B, S], [B, h A], [B, n], [B, S]
};
void replay_batch(const ReplayBatchArguments&);

}  // namespace meander::kernels
