#include <meander/algos/mfpo_operations.h>

#include <algorithm>

#include <meander/core/elements.h>

namespace meander {
namespace {

void check(const char* what, Tensor x, int64_t rows, int64_t cols) {
  if (x.rows != rows || x.cols != cols || x.dtype != DType::float32)
    throw Error(message(what, ": ", detail::shape(x), " ", name(x.dtype), " where float32 [", rows, ", ", cols,
                        "] is expected"));
}

// How many rows of x a state has, at least one.
int64_t a_state(const char* what, Tensor x, int64_t batch) {
  if (batch < 1 || x.rows < batch || x.rows % batch != 0)
    throw Error(message(what, ": ", detail::shape(x), " for ", batch, " states"));
  return x.rows / batch;
}

float* numbers(Tensor x) { return x ? x.f32() : nullptr; }

}  // namespace

GaussianProposals gaussian_proposals(Tensor x, Tensor t, Tensor uniform) {
  const int64_t k = a_state("gaussian_proposals", uniform, x.rows);
  check("gaussian_proposals", t, x.rows, 1);
  check("gaussian_proposals", uniform, x.rows * k, x.cols);
  const GaussianProposals p{empty(x.rows, x.cols), empty(x.rows, x.cols), empty(uniform.rows, x.cols),
                            empty(uniform.rows, x.cols)};
  kernels::current().gaussian_proposals(x.rows, x.cols, k, x.f32(), t.f32(), uniform.f32(), p.lower.f32(),
                                        p.upper.f32(), p.noise.f32(), p.action.f32());
  return p;
}

ProposalWeights proposal_weights(Tensor x, Tensor t, Tensor policy_action, Tensor policy_log_prob, Tensor q,
                                 Tensor alpha) {
  const int64_t batch = x.rows, k1 = a_state("proposal_weights", policy_action, batch), k2 = q.cols - k1;
  check("proposal_weights", t, batch, 1);
  check("proposal_weights", policy_action, batch * k1, x.cols);
  check("proposal_weights", policy_log_prob, batch * k1, 1);
  check("proposal_weights", q, batch, k1 + std::max<int64_t>(k2, 0));
  check("proposal_weights", alpha, 1, 1);
  ProposalWeights w{empty(batch, k1), {}, empty(batch, k1), {}};
  if (k2) w.log_gaussian = empty(batch, k2), w.gaussian = empty(batch, k2);
  kernels::current().proposal_weights({batch, x.cols, k1, k2, x.f32(), t.f32(), policy_action.f32(),
                                       policy_log_prob.f32(), q.f32(), alpha.f32(), w.log_policy.f32(),
                                       numbers(w.log_gaussian), w.policy.f32(), numbers(w.gaussian)});
  return w;
}

ProposalVelocity proposal_velocity(kernels::Mixture mixture, Tensor x, Tensor t, const ProposalWeights& weights,
                                   Tensor policy_action, Tensor gaussian_action) {
  const int64_t batch = x.rows, k1 = weights.policy.cols, k2 = weights.gaussian ? weights.gaussian.cols : 0;
  check("proposal_velocity", t, batch, 1);
  check("proposal_velocity", weights.policy, batch, k1);
  check("proposal_velocity", policy_action, batch * k1, x.cols);
  if (k2) check("proposal_velocity", weights.gaussian, batch, k2);
  if (k2) check("proposal_velocity", gaussian_action, batch * k2, x.cols);
  const ProposalVelocity v{empty(batch, x.cols), empty(batch, x.cols), empty(batch, x.cols),
                           empty(batch, 1),      empty(batch, 1),      empty(batch, 1)};
  kernels::current().proposal_velocity(
      {batch, x.cols, k1, k2, mixture, x.f32(), t.f32(), weights.policy.f32(), policy_action.f32(),
       k2 ? weights.gaussian.f32() : nullptr, k2 ? gaussian_action.f32() : nullptr, v.policy.f32(), v.gaussian.f32(),
       v.mixed.f32(), v.ess_policy.f32(), v.ess_gaussian.f32(), v.share.f32()});
  return v;
}

SoftTarget soft_target(const Support& support, const Tensor (&logits)[2], Tensor reward, Tensor mask, Tensor log_prob,
                       Tensor alpha, double discount, bool smaller) {
  const int64_t batch = reward.rows, atoms = support.z.cols;
  for (Tensor x : {logits[0], logits[1]}) check("soft_target", x, batch, atoms);
  for (Tensor x : {reward, mask, log_prob}) check("soft_target", x, batch, 1);
  check("soft_target", alpha, 1, 1);
  const auto distribution = [&] { return empty(batch, atoms); };
  const auto column = [&] { return empty(batch, 1); };
  const SoftTarget s{distribution(), {distribution(), distribution()}, {column(), column()}, distribution(), column(),
                     column()};
  kernels::current().soft_target({batch,
                                  atoms,
                                  float(support.v_min),
                                  float(support.v_max),
                                  float(discount),
                                  smaller,
                                  {logits[0].f32(), logits[1].f32()},
                                  support.z.f32(),
                                  reward.f32(),
                                  mask.f32(),
                                  log_prob.f32(),
                                  alpha.f32(),
                                  s.positions.f32(),
                                  {s.projected[0].f32(), s.projected[1].f32()},
                                  {s.mean[0].f32(), s.mean[1].f32()},
                                  s.chosen.f32(),
                                  s.below.f32(),
                                  s.above.f32()});
  return s;
}

Tensor hutchinson(int64_t batch, Tensor probe, Tensor derivative) {
  const int64_t n = a_state("hutchinson", probe, batch);
  check("hutchinson", derivative, probe.rows, probe.cols);
  const Tensor y = empty(batch, 1);
  kernels::current().hutchinson(batch, probe.cols, n, probe.f32(), derivative.f32(), y.f32());
  return y;
}

}  // namespace meander
