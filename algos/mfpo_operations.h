#pragma once

#include <meander/core/tensor.h>
#include <meander/kernels/mfpo.h>

// The phases of MFPO that need no gradient, on tensors; formulas and shapes: kernels/mfpo.h. B states, A actions, K1
// policy and K2 Gaussian proposals a state. Results lie in the arena. Each throws Error where shapes do not fit.
namespace meander {

struct GaussianProposals {
  Tensor lower, upper;                    // [B, A]
  Tensor noise, action;                   // [B K2, A]
};
GaussianProposals gaussian_proposals(Tensor x, Tensor t, Tensor uniform);

struct ProposalWeights {
  Tensor log_policy, log_gaussian;        // [B, K1], [B, K2], before the softmax
  Tensor policy, gaussian;
};
// The number of Gaussian proposals is what q [B, K1 + K2] has beyond the policy's; none: their tensors are absent.
ProposalWeights proposal_weights(Tensor x, Tensor t, Tensor policy_action, Tensor policy_log_prob, Tensor q,
                                 Tensor alpha);

struct ProposalVelocity {
  Tensor policy, gaussian, mixed;         // v1, v2, v, [B, A]
  Tensor ess_policy, ess_gaussian, share; // ESS1, ESS2, lambda, [B, 1]
};
ProposalVelocity proposal_velocity(kernels::Mixture mixture, Tensor x, Tensor t, const ProposalWeights& weights,
                                   Tensor policy_action, Tensor gaussian_action);

struct SoftTarget {
  Tensor positions;                       // [B, atoms]: clipped r + gamma mask (z - alpha log_prob)
  Tensor projected[2], mean[2];           // [B, atoms], [B, 1]
  Tensor chosen;                          // [B, atoms]
  Tensor below, above;                    // [B, 1]: share of the target mass beyond either end of the support
};
struct Support {
  Tensor z;                               // [1, atoms] = linspace(v_min, v_max)
  double v_min, v_max;
};
// `smaller`: chosen is the distribution with the smaller mean, else half of either.
SoftTarget soft_target(const Support& support, const Tensor (&logits)[2], Tensor reward, Tensor mask, Tensor log_prob,
                       Tensor alpha, double discount, bool smaller);

// [B, 1] from probe and derivative [B n, A].
Tensor hutchinson(int64_t batch, Tensor probe, Tensor derivative);

}  // namespace meander
