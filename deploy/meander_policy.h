/* Runs a policy that Meander trained, from one constant blob (`meander export`): no heap, files, threads, locks, libm
 * or global variables. C99 and C++; the implementation is one C++20 source that links as C does, meander_policy.cpp.
 *
 *   meander_policy_open       reads the blob where it lies (flash, a mapped file, a C array) and checks its structure
 *     meander_policy_test     repeats examples that the trainer recorded: once, before anything moves
 *     meander_workspace_size  how much memory of yours a decision needs
 *       meander_act           an observation -> a decision, `chunk` actions of numbers in [-1, 1]
 *         meander_scale_action   one of these actions -> the units of the task
 *     meander_next_action     the last two for policies that decide on chunks: an action at every step of control
 *
 * The blob and the workspaces are yours and begin at a multiple of 64 bytes. An opened policy is only read: any number
 * of threads may act with it at the same time, each with a workspace of its own. A decision depends on the blob, the
 * observation, the noise named and the number of candidates alone, and has the bits of the trainer's wherever there is
 * a fused multiply-add (meander_isa says where there is none). */
#ifndef MEANDER_POLICY_H
#define MEANDER_POLICY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum meander_status {
  MEANDER_OK = 0,
  MEANDER_BAD_ARGUMENT = 1,    /* a null pointer, a policy that isn't open, candidates that there is no critic for */
  MEANDER_NOT_ALIGNED = 2,     /* the blob or the workspace begins at no multiple of 64 bytes */
  MEANDER_OVERLAP = 3,         /* workspace, observation, action and blob share memory */
  MEANDER_SMALL_WORKSPACE = 4, /* less than meander_workspace_size says for so many candidates */
  MEANDER_NOT_A_POLICY = 5,    /* the blob begins with other bytes than every policy */
  MEANDER_OTHER_VERSION = 6,   /* another major version, or something in it that this source doesn't know */
  MEANDER_TRUNCATED = 7,       /* fewer bytes than the blob says it has */
  MEANDER_WRONG_CHECKSUM = 8,  /* bytes of the blob have changed */
  MEANDER_MALFORMED = 9,       /* a size, an offset or a choice in the blob that cannot be */
  MEANDER_BAD_OBSERVATION = 10, /* a number of the observation is infinite or NaN */
  MEANDER_BAD_RESULT = 11,     /* a number of the decision would be */
  MEANDER_TEST_FAILED = 12,    /* an example came out otherwise than recorded */
  MEANDER_NO_DEVICE = 13,      /* meander_policy_cuda.h: no GPU, or none with room for the policy */
  MEANDER_DEVICE_ERROR = 14    /* likewise: the GPU reports an error */
} meander_status;

/* A sentence for people, never null. */
const char *meander_status_text(meander_status status);

/* An opened policy. Yours; meander_policy_open fills it in. To be read, but for `fallback`. */
typedef struct meander_policy {
  const void *blob;       /* null: not open */
  const float *fallback;  /* [actions]: what a decision's actions are after an error; null: zeros. See below. */
  uint32_t observations;  /* S: numbers of an observation */
  uint32_t actions;       /* A: numbers of an action */
  uint32_t chunk;         /* h: actions of a decision, to be executed one after the other */
  uint32_t candidates;    /* of which a decision is the best, if 0 are asked for */
  uint32_t has_critics;   /* 0: there is never more than one candidate */
  uint32_t tests;         /* examples in the blob */
  uint32_t isa;           /* of this machine's, the one that is used */
} meander_policy;

/* Opens the policy in [blob, blob + size), which must stay there unchanged. Every size and offset is checked, so that
 * no later call reads beyond it; `checksum` not 0: every byte is compared with the checksum too (a millisecond for a
 * few megabytes). Unless it returns MEANDER_OK the policy is not open and acting with it is refused.
 *
 * After an error meander_act leaves `fallback` in the place of each action, by default zeros. A zero is the middle of
 * an action's range: where that moves something, or lets something fall, give a safe action here and handle the error
 * before the next step. */
meander_status meander_policy_open(meander_policy *policy, const void *blob, size_t size, int checksum);

/* Bytes of workspace that a decision among so many candidates needs (0: the policy's own number). */
size_t meander_workspace_size(const meander_policy *policy, uint32_t candidates);

/* Names random numbers: the same name gives the same ones. The trainer evaluates with the purpose MEANDER_EVALUATE. */
typedef struct meander_noise {
  uint64_t seed, step;
  uint32_t purpose;
} meander_noise;
#define MEANDER_EVALUATE 18u

/* observation [S], in the task's own units -> action [h A] in [-1, 1], the best of `candidates` (0: the policy's own
 * number) by the smaller or the mean of two critics. q: null, or the best one's value; asking for it needs critics.
 * No system call, no allocation; the time depends on the policy and the number of candidates alone. */
meander_status meander_act(const meander_policy *policy, void *workspace, size_t workspace_size,
                           const float *observation, meander_noise noise, uint32_t candidates, float *action, float *q);

/* One action [A] of a decision -> the units of the task, in the range that it was trained in. May be in place. */
meander_status meander_scale_action(const meander_policy *policy, const float *action, float *scaled);

/* The actions of a decision that are still to be executed; left = 0: none, so that the next step decides. */
typedef struct meander_chunk {
  float *actions;  /* [h A], yours */
  uint32_t left;
} meander_chunk;

/* The action [A] of the next step: the next one of the chunk, after a decision as of meander_act if none is left. Set
 * left = 0 when an episode begins and whenever the plan is to be dropped. After an error the chunk is empty. */
meander_status meander_next_action(const meander_policy *policy, meander_chunk *chunk, void *workspace,
                                   size_t workspace_size, const float *observation, meander_noise noise,
                                   uint32_t candidates, float *action);

/* The n standard normal numbers of that name. Those of a decision: row k of [candidates, h A] is candidate k's. For
 * whom the network runs elsewhere (ONNX Runtime, TensorRT) and wants the same actions. */
meander_status meander_normals(const meander_policy *policy, meander_noise noise, size_t n, float *normals);

/* Repeats the examples in the blob, with a workspace for the policy's own number of candidates. MEANDER_TEST_FAILED if
 * one differs: in a bit, or, where there is no fused multiply-add, by more than rounding explains. difference: null, or
 * the largest between two numbers of actions. */
meander_status meander_policy_test(const meander_policy *policy, void *workspace, size_t workspace_size,
                                   float *difference);

/* The instruction set in use; it says so if results are not the trainer's to the bit. */
const char *meander_isa(const meander_policy *policy);

/* What the blob says of itself: lines of "key value", UTF-8, not ended by a zero. */
meander_status meander_policy_text(const meander_policy *policy, const char **text, size_t *size);

#ifdef __cplusplus
}
#endif

#endif
