#pragma once

#include <cstdint>

// The phases of Mean Flow Policy Optimization that need no gradient, each in one pass over the states of a batch, float32.
// B states, A actions, K1 policy proposals and K2 Gaussian proposals a state; alpha is one number in memory.
namespace meander::kernels {

// Gaussian proposals of the action behind x_t = (1 - t) a + t e: e ~ N(0, 1) truncated so that a stays in [-1, 1].
//   lower = (x - (1 - t)) / t                upper = (x + (1 - t)) / t
//   noise = truncated_normal(lower, upper, uniform)
//   action = (x - t noise) / (1 - t), clipped to [-1, 1] (rounding only)
// x [B, A], t [B], uniform [B K2, A] -> lower, upper [B, A], noise, action [B K2, A]
void gaussian_proposals(int64_t batch, int64_t actions, int64_t proposals, const float* x, const float* t,
                        const float* uniform, float* lower, float* upper, float* noise, float* action);

// Logarithms of the importance weights and, by softmax over the proposals of a state, the weights.
//   log w = Q / alpha + log N(x; (1 - t) a, t^2) - log pi(a)     policy proposals; of N without its constants:
//                                                                -|x - (1 - t) a|^2 / (2 t^2)
//   log w = Q / alpha                                            Gaussian proposals
struct ProposalWeightsArguments {
  int64_t batch, actions, policy_count, gaussian_count;   // gaussian_count may be 0: their results are null then
  const float *x, *t;                       // [B, A], [B]
  const float *policy_action, *log_prob;    // [B K1, A], [B K1]
  const float *q, *alpha;                   // [B, K1 + K2], policy proposals first; one number
  float *log_policy, *log_gaussian;         // [B, K1], [B, K2]
  float *policy, *gaussian;
};
void proposal_weights(const ProposalWeightsArguments&);

// The velocity at x_t from either set of proposals, mixed by their effective sample sizes.
//   v_i = sum_k w_k (x - a_k) / t            ESS_i = 1 / sum_k w_k^2
//   share = ESS1 / (ESS1 + ESS2 + 1e-10)     v = share v1 + (1 - share) v2
enum class Mixture { ess, half, gaussian };  // share as above, 1/2, 0
struct ProposalVelocityArguments {
  int64_t batch, actions, policy_count, gaussian_count;   // gaussian_count 0: v2 = v = v1, ESS2 = 0, share = 1
  Mixture mixture;
  const float *x, *t;                       // [B, A], [B]
  const float *policy_weight, *policy_action;             // [B, K1], [B K1, A]
  const float *gaussian_weight, *gaussian_action;         // [B, K2], [B K2, A]
  float *policy, *gaussian, *mixed;         // v1, v2, v [B, A]
  float *ess_policy, *ess_gaussian, *share; // [B]
};
void proposal_velocity(const ProposalVelocityArguments&);

// The soft Bellman target as a distribution over the atoms z_j of linspace(v_min, v_max, atoms).
//   position_j = reward + discount mask (z_j - alpha log_prob)
//   p_i = softmax(logits_i)                  projected_i = the C51 projection of p_i at the positions (kernels/rows.h)
//   mean_i = sum_j projected_ij z_j
//   chosen = the projected distribution with the smaller mean, the second on a tie, or (not `smaller`) half of either
//   clipped_low, clipped_high = mass of (p_1 + p_2) / 2 at positions below v_min, above v_max
struct SoftTargetArguments {
  int64_t batch, atoms;
  float v_min, v_max, discount;
  bool smaller;
  const float *logits[2], *z;               // [B, atoms], [atoms]
  const float *reward, *mask, *log_prob;    // [B]
  const float* alpha;
  float* positions;                         // [B, atoms], clipped to [v_min, v_max]
  float *projected[2], *mean[2], *chosen;   // [B, atoms], [B], [B, atoms]
  float *clipped_low, *clipped_high;        // [B]
};
void soft_target(const SoftTargetArguments&);

// Hutchinson's estimate of a divergence from n probes z ~ N(0, I) a state and the derivatives J z along them:
//   y_i = 1 / n sum_k z_ik . J z_ik            probe, derivative [B n, A] -> y [B]
void hutchinson(int64_t batch, int64_t actions, int64_t probes, const float* probe, const float* derivative, float* y);

}  // namespace meander::kernels
