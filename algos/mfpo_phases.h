#pragma once

#include <meander/algos/learner.h>
#include <meander/algos/mean_flow.h>
#include <meander/algos/mfpo_operations.h>
#include <meander/algos/mfpo_settings.h>
#include <meander/kernels/mfpo.h>
#include <meander/kernels/mlp_shape.h>
#include <meander/nn/policy.h>

namespace meander {

kernels::Precision precision_of(const std::string& name);   // "float32", "tf32", "bfloat16"

// The networks of MFPO, and the phases of its update that ask them, in their order; those that need no network are in
// algos/mfpo_operations.h, the critics' in nn/twin_critic.h. A phase is a function of its arguments and the parameters;
// results lie in the arena. Symbols as in MfpoSettings.
struct MfpoPhases {
  MfpoPhases(int observations, int actions, const MfpoSettings& settings, uint64_t seed);
  MfpoPhases(const MfpoPhases&) = delete;

  // K actions a state, by T steps of the mean velocity: state [B, S], noise [B K, A].
  struct Sample {
    Tensor action;                          // in [-1, 1]
    Tensor log_prob;                        // [rows, 1], not corrected for the clip
  };
  Sample sample(Tensor state, Tensor noise, kernels::Precision = kernels::Precision::float32);

  // The proposals of each state side by side, policy proposals first: [B (K1 + K2), A]. No Gaussian ones: absent.
  static Tensor all_proposals(int64_t batch, Tensor policy_action, Tensor gaussian_action);

  struct RegressionLoss {
    Number loss;                            // mean squared error
    Tensor mean_field, derivative, target;  // as MeanFlowIdentity's
    Tensor gradient;                        // [1, parameters]
  };
  RegressionLoss actor_loss(Tensor state, Tensor x, const FlowTimes& times, Tensor velocity) const;

  struct Divergence {
    Tensor velocity;                        // v = u(s, x, t, t), [B, A]
    Tensor derivative;                      // J z, [B N, A]
    Tensor estimate;                        // mean z' J z, [B, 1]
  };
  Divergence divergence_of_velocity(Tensor state, Tensor x, Tensor t, Tensor probe) const;   // probe z [B N, A]
  RegressionLoss divergence_loss(Tensor state, Tensor x, const FlowTimes& times, const Divergence& divergence) const;

  struct TemperatureLoss {
    Number loss;
    Tensor gradient;                        // [1, 1]
  };
  TemperatureLoss temperature_loss(Tensor entropy) const;   // [1, 1]
  Number alpha() const;                     // the temperature, [1, 1]

  std::vector<Network> networks();

  FlowNetwork mean_velocity, average_divergence;
  TwinCritic critic;
  ParameterLayout temperature;              // one number, log alpha
  TrainState actor, divergence, log_alpha;
  Policy policy;                            // acts; its sampler keeps what the actor's parameters alone decide
  FlowSampler& flow;
  FlowTimesSampler flow_times;
  Support support;                          // of the critics
  kernels::Mixture mixture;                 // of the two kinds of proposals

 private:
  bool divergence_network_;
  double alpha_floor_, target_entropy_;
};

}  // namespace meander
