/* Runs an opened policy (meander_policy.h) on a GPU: the same blob, the same decisions to rounding (1e-5 of [-1, 1]),
 * one launch each. For whom the processor has other things to do, or whose policy chooses among many candidates.
 *
 *   meander_policy_open            on the processor: reads and checks the blob
 *     meander_policy_cuda_open     copies it to the GPU, once
 *       meander_policy_cuda_test   repeats the trainer's examples there
 *       meander_policy_cuda_act    an observation -> a decision, as meander_act; nothing is allocated
 *     meander_policy_cuda_close
 *
 * A process has one GPU, the first that CUDA shows it. An opened policy is used by one thread at a time, and all of
 * them share one stream. C99 and C++; libmeander_policy_cuda.so has all of it but the driver. */
#ifndef MEANDER_POLICY_CUDA_H
#define MEANDER_POLICY_CUDA_H

#include "meander_policy.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct meander_policy_cuda meander_policy_cuda;

/* `policy` stays open, and its blob where it is, as long. Decisions are then among 1 to most_candidates (0: the
 * policy's own number). MEANDER_NO_DEVICE where there is no GPU, or none with room for these networks in one launch
 * (hidden layers of at most 512, more than one layer); meander_policy_cuda_reason has CUDA's words. */
meander_status meander_policy_cuda_open(meander_policy_cuda **gpu, const meander_policy *policy,
                                        uint32_t most_candidates);
void meander_policy_cuda_close(meander_policy_cuda *gpu); /* null: nothing */

/* As meander_act, which has the contract. MEANDER_DEVICE_ERROR if the GPU reports one: it will not act again. */
meander_status meander_policy_cuda_act(meander_policy_cuda *gpu, const float *observation, meander_noise noise,
                                       uint32_t candidates, float *action, float *q);

/* Repeats the examples in the blob: MEANDER_TEST_FAILED if one differs by more than rounding explains. difference: null,
 * or the largest between two numbers of actions; another of two candidates that are worth the same is none. */
meander_status meander_policy_cuda_test(meander_policy_cuda *gpu, float *difference);

/* Why the last call of this thread failed, in the words of the device; never null. */
const char *meander_policy_cuda_reason(void);

#ifdef __cplusplus
}
#endif

#endif
