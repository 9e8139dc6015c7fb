#pragma once

#include <meander/kernels/mlp_shape.h>
#include <meander/kernels/philox.h>

// Acting in one call: K actions drawn for one state by a flow policy, scored by two critics, the best of them.
//   x_k ~ N(0, I), the numbers philox_normal gives for `noise`, element k A + i
//   for each of T steps: x_k <- x_k - u(x_k, s, times) / T
//   a_k = clip(x_k, -1, 1) or tanh(x_k)
//   q_k = the smaller, or the mean, of Q_1(s, a_k) and Q_2(s, a_k)
//   action = a_k of the largest q_k, the first of equals
namespace meander::kernels {

// On a device with memory of its own `state` and `action` may as well lie in the host's where the device reaches it
// (DeviceKernels' allocate_host): then nothing is copied.
struct CandidatesArguments {
  int64_t candidates, observations, actions;   // K, S, A
  const float* state;                          // [S]
  RandomKey noise;

  const MlpShape* flow;                        // on [x, state, times] -> u [A]
  const float* flow_params;
  int64_t steps;                               // T
  const float* times;                          // [T, width[1]]: what the times of each step add to the first layer's sums;
                                               // null: nothing
  bool squash;                                 // tanh in place of the clip

  const MlpShape* critic;                      // on [state, action]; null: none is wanted, and K is 1
  const float* critic_params[2];
  const float* atoms;                          // [outputs]: Q = softmax_expectation(outputs, atoms); null: Q is the output
  bool smaller;                                // of the two, else their mean

  float *all, *q;                              // [K, A], [K]; null: not wanted
  float* action;                               // [A]

  // Of policies without a flow: x_k <- network(x_k, s) in one step, or with `drawn` false network(s).
  bool direct = false, drawn = true;
};

// Only GPUs have these: on the CPU a launch costs nothing, and the functions that this one joins do as well.
int64_t candidates_workspace(const CandidatesArguments&);   // floats; 0: too large for this device to do in one go
void best_candidate(const CandidatesArguments&, float* workspace);

}  // namespace meander::kernels
