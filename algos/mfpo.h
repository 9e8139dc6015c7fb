#pragma once

#include <meander/algos/learner.h>
#include <meander/algos/mean_flow.h>
#include <meander/algos/settings.h>
#include <meander/core/mfpo_operations.h>
#include <meander/nn/critic.h>

namespace meander {

// Mean Flow Policy Optimization: Dong, Zhang, Cheng, arXiv 2604.14698 (2026).
// Symbols: B batch, S observation size, A action size, T sampling steps, K1 policy proposals, K2 Gaussian proposals,
// N Hutchinson probes. Defaults are those of the authors' code.
struct MfpoSettings final : AlgorithmSettings {
  int64_t batch_size = 256;
  double discount = 0.99;
  double target_rate = 0.005;               // tau
  double learning_rate = 3e-4;
  int64_t actor_width = 256, actor_layers = 3;    // hidden, also of the divergence network
  int64_t critic_width = 256, critic_layers = 3;
  int64_t sampling_steps = 2;               // T
  int64_t policy_proposals = 16;            // K1
  int64_t gaussian_proposals = 32;          // K2
  std::string proposals = "both";           // both, policy, gaussian
  std::string mixture = "ess";              // ess, half
  int64_t probes = 2;                       // N
  bool divergence_network = true;
  std::string drawing_precision = "float32", scoring_precision = "float32";   // float32, tf32, bfloat16: of the products
  std::string acting_precision = "float32";                                   // where no gradient passes
  int64_t evaluation_candidates = 10;
  bool clipped_double_q = true;
  int64_t atoms = 101;
  double v_min = -1600, v_max = 1600;
  double alpha = 0.01;                      // initial temperature
  bool tune_alpha = true;
  double alpha_floor = 0;
  double target_entropy_per_action = -0.5;
  double interval_mean = -0.4, interval_deviation = 1.0, share_equal_times = 0.75;

  std::string name() const override { return "mfpo"; }
  std::string title() const override { return "Mean Flow Policy Optimization"; }
  std::vector<Setting> settings() override;
  void adapt(const EnvironmentInfo&) override;
  std::unique_ptr<Agent> make_agent(int observations, int actions, uint64_t seed) const override;
};

class Mfpo final : public Learner, public PolicyLearner {
 public:
  Mfpo(int observations, int actions, const MfpoSettings& settings, uint64_t seed);

  // ---- all random numbers of one update, [rows, A] unless said otherwise -------------------------------------------
  struct Draws {
    Tensor next_noise;                      // z of the next action, B rows
    Tensor interval_a, interval_b;          // [B, 1]
    Tensor proposal_noise;                  // z of the K1 policy proposals of each state, B K1 rows
    Tensor flow_noise;                      // e of x_t, B rows
    Tensor truncated_uniform;               // of the K2 Gaussian proposals, B K2 rows
    Tensor divergence_interval_a, divergence_interval_b;  // [B, 1]
    Tensor divergence_noise;                // B rows
    Tensor divergence_probe;                // B N rows
  };
  Draws draw(uint64_t step) const;

  // ---- the phases, each a pure function of parameters, batch and draws; results live in the arena ------------------
  struct FlowSample {
    Tensor action;                          // in [-1, 1]
    Tensor log_prob;                        // [rows, 1], not corrected for the clip
  };
  // K samples a state: state [B, S], noise [B K, A].
  FlowSample sample(Tensor state, Tensor noise, kernels::Precision = kernels::Precision::float32) const;

  Tensor target_logits(int critic, Tensor state, Tensor action) const;   // [B, atoms]

  struct TargetDistribution : SoftTarget {
    Number clipped_low, clipped_high;       // mean share of the target mass beyond each end of the support
  };
  TargetDistribution target_distribution(const Batch& batch, Tensor next_log_prob, const Tensor (&logits)[2]) const;

  struct CriticLoss {
    Number loss;
    Tensor logits, gradient;
  };
  CriticLoss critic_loss(int critic, Tensor state, Tensor action, Tensor target) const;

  Interval interval(Tensor normal_a, Tensor normal_b) const { return sampler_(normal_a, normal_b); }

  // Of the K1 proposals of each state [B K1, A] the first, [B, A].
  Tensor first_proposal(Tensor policy_action, int64_t batch) const;

  using GaussianProposals = meander::GaussianProposals;
  GaussianProposals gaussian_proposals(Tensor x, Tensor t, Tensor uniform) const;

  // The proposals of each state side by side, policy proposals first: [B (K1 + K2), A].
  Tensor all_proposals(Tensor policy_action, Tensor gaussian_action, int64_t batch) const;
  struct ProposalValues {                   // Q of all proposals of a state, [B, K1 + K2]
    Tensor q[2], chosen;
  };
  ProposalValues proposal_values(Tensor state, Tensor action) const;

  using ProposalWeights = meander::ProposalWeights;
  ProposalWeights proposal_weights(Tensor x, Tensor t, const FlowSample& policy, Tensor q) const;

  using Velocity = ProposalVelocity;
  Velocity velocity(Tensor x, Tensor t, const ProposalWeights& weights, Tensor policy_action,
                    Tensor gaussian_action) const;

  struct RegressionLoss {
    Number loss;                            // mean squared error
    Tensor mean_field, derivative, target;  // as MeanFlowIdentity's
    Tensor gradient;                        // [1, parameters]
  };
  RegressionLoss actor_loss(Tensor state, Tensor x, const Interval& interval, Tensor velocity) const;

  struct Divergence {
    Tensor velocity;                        // v = u(s, x, t, 0), [B, A]
    Tensor derivative;                      // J z, [B N, A]
    Tensor estimate;                        // mean z' J z, [B, 1]
  };
  Divergence hutchinson(Tensor state, Tensor x, Tensor t, Tensor probe) const;
  RegressionLoss divergence_loss(Tensor state, Tensor x, const Interval& interval, const Divergence& divergence) const;

  struct TemperatureLoss {
    Number loss;
    Tensor gradient;                        // [1, 1]
  };
  TemperatureLoss temperature_loss(Tensor entropy) const;   // [1, 1]

  // ---- Agent -------------------------------------------------------------------------------------------------------
  int batch_size() const override { return static_cast<int>(settings_.batch_size); }
  void update(const Batch& batch, uint64_t step, std::span<float> metrics) override;
  std::span<const char* const> metric_names() const override;
  int kind_of_update(const Batch&) const override { return 0; }
  void improve_policy(const ActionValue& q, Tensor state, uint64_t step) override;

  // One update with the given draws.
  void update(const Batch& batch, const Draws& draws, uint64_t step, std::span<float> metrics);
  Number alpha() const;                     // the temperature

 private:
  void update_critics(const Batch& batch, const Draws& draws, uint64_t step, std::span<float> metrics);
  void update_policy(Tensor state, const ActionValue* given, const Draws& draws, uint64_t step,
                     std::span<float> metrics);
  Tensor both(Value q1, Value q2) const;    // the smaller, or the mean without clipped double Q

  MfpoSettings settings_;
  IntervalSampler sampler_;
  kernels::AdamConstants adam_;
  FlowNetwork mean_velocity_, average_divergence_;
  Critic critic_network_;
  ParameterLayout temperature_;             // one number, log alpha
  Trained actor_, divergence_, critic_[2], log_alpha_, target_[2];

  kernels::Precision drawing_precision_, scoring_precision_;   // of proposals
  Policy& policy_;
  FlowSampler& flow_;                       // of the actor; keeps what its parameters alone decide
};

}  // namespace meander
