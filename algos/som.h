#pragma once

#include <meander/algos/learner.h>
#include <meander/algos/mean_flow.h>
#include <meander/algos/settings.h>
#include <meander/nn/twin_critic.h>

namespace meander {

// Score-Based One-step MeanFlow Policy Optimization: Kim, Ki, Ahn, Lee, arXiv 2605.23365 (2026). The policy follows the
// score of exp(inverse_temperature Q) through a variance-preserving diffusion and acts in one step of its mean velocity.
// Symbols: B batch, S observation size, A action size, K proposals, N candidates. What the paper does not say is
// inferred; docs/algorithms.md tells which.
struct SomSettings final : AlgorithmSettings {
  int64_t batch_size = 256;
  double discount = 0.99;
  double target_rate = 0.005;                 // tau
  double reward_scale = 0.2;
  int64_t policy_interval = 1;                // updates from one of the policy to the next
  int64_t target_interval = 0;                // and of the targets; 0: as the policy's
  double learning_rate = 3e-4, final_learning_rate = 3e-5;
  int64_t decay_start = 25'000, decay_length = 50'000;   // of the policy's rate, in its own updates
  int64_t actor_width = 256, actor_layers = 3;           // hidden, Mish
  int64_t critic_width = 256, critic_layers = 3;
  double beta_min = 0.1, beta_max = 3;        // of the diffusion
  int64_t proposals = 100;                    // K
  double inverse_temperature = 1;             // alpha of the paper
  std::string standardise = "all";            // all, state, none: over which values Q is standardised in the score
  bool standardise_gradient = false;          // the score's gradient passes through their mean and deviation
  std::string velocity = "clipped";           // unit_score, clipped, exact
  double weight = 3;                          // w of the unit score
  std::string start = "replay";               // replay, policy: the action a_0 that the noise is added to
  std::string times = "uniform_below";        // uniform_below, logit_normal
  double logit_mean = -0.4, logit_deviation = 1.0, share_equal_times = 0.25;
  bool adaptive_weight = true;                // of each sample in the actor's loss
  std::string bound = "clip";                 // clip, tanh: of the action
  int64_t candidates = 32;                    // N
  bool exploration_noise = true;
  double noise_log_scale = 1.6094379124341003;   // initial l: standard deviation .1 exp(l)
  double noise_entropy_per_action = -0.9;
  double noise_learning_rate = 7e-3;
  int64_t noise_interval = 250;               // updates from one step of l to the next

  std::string name() const override { return "som"; }
  std::string title() const override { return "Score-Based One-step MeanFlow Policy Optimization"; }
  std::vector<Setting> settings() override;
  std::vector<Renamed> renamed() const override { return renamed_flow_times(); }
  void adapt_loop(TrainingSettings&) const override;
  std::unique_ptr<Agent> make_agent(int observations, int actions, uint64_t seed) const override;
};

class Som final : public Learner, public PolicyLearner {
 public:
  Som(int observations, int actions, const SomSettings& settings, uint64_t seed);

  // ---- the phases, each a pure function of its arguments; results live in the arena --------------------------------
  // a_t = mu a_0 + sigma e: mu = exp(-1/2 integral_0^t beta), sigma = sqrt(1 - mu^2), beta = b_min + t (b_max - b_min).
  struct Schedule {
    Tensor beta, mu, sigma;                 // [B, 1]
  };
  Schedule schedule(Tensor t) const;

  // K guesses of the a_0 behind a_t: a_t / mu + (sigma / mu) e_k; noise [B K, A]. Not clipped: with a zero gradient
  // outside the box the field would break.
  Tensor proposals(Tensor x, const Schedule& schedule, Tensor noise) const;

  struct ProposalValues {
    Tensor q;                               // the smaller of the two critics, [B, K]
    Tensor gradient;                        // of it by the action, [B K, A]
    Tensor q1 = {}, q2 = {};                // of the two, [B K, 1]; absent for a Q that is given
  };
  ProposalValues proposal_values(Tensor state, Tensor action) const;

  struct ProposalWeights {
    Tensor softmax;                         // of alpha Qn, Qn = (Q - mean) / (deviation + 1e-6), [B, K]
    Tensor deviation;                       // with the 1e-6; [1, 1] or [B, 1]
    Tensor slope = {};                      // of the sum of all states' log sum_k exp(alpha Qn) by Q, [B, K]; with
                                            // standardise_gradient alone
  };
  ProposalWeights proposal_weights(Tensor q, const std::string& standardise) const;

  // grad_{a_t} log sum_k exp(alpha Qn(s, a_0^k)) = (alpha / mu) sum_k softmax_k(alpha Qn) grad_a Qn     (paper, eq. 5)
  Tensor score(const ProposalWeights& weights, Tensor gradient, const Schedule& schedule) const;   // [B, A]

  // -1/2 beta (a_t + w score / |score|)                                                                  (paper, eq. 8)
  // or, exact, the probability-flow ODE: -1/2 beta (a_t + score);
  // or, clipped, the field of the first whose implied denoised action is kept in the box, where the critics know
  // something:
  //   1/2 beta (mu / sigma^2) (mu a_t - clip(D, -1, 1)),   D = (a_t + sigma^2 w score / |score|) / mu.
  Tensor velocity(Tensor x, const Schedule& schedule, Tensor score) const;

  struct RegressionLoss {
    Number loss;
    Tensor mean_field, derivative, target;  // u, du/dt and what u is drawn to, as MeanFlowIdentity's
    Tensor sample_weight;                   // [B, 1]
    Tensor gradient;                        // [1, parameters]
  };
  RegressionLoss actor_loss(Tensor state, Tensor x, const FlowTimes& times, Tensor velocity) const;

  // a = e - u(e, t = 1, r = 0), in [-1, 1]: K a state; noise [B K, A] -> [B K, A]
  Tensor sample(Tensor state, Tensor noise) { return policy_.sample(state, noise); }
  // The action with exploration noise, [B, A], kept in [-1, 1].
  Tensor with_noise(Tensor action, Tensor noise) const { return policy_.with_noise(action, noise); }

  int batch_size() const override { return static_cast<int>(settings_.batch_size); }
  void update(const Batch& batch, uint64_t step, std::span<float> metrics) override;
  // The random numbers of the policy's part of an update, and of all of it; and an update with the given ones.
  struct PolicyDraws {
    Tensor interval_a, interval_b;          // [B, 1]
    Tensor interpolation_noise;             // [B, A]
    Tensor score_noise;                     // [B K, A]
    Tensor policy_noise;                    // of a_0 where it is the policy's action, [B, A]
  };
  struct Draws {
    Tensor next_candidate_noise;            // [B N, A]
    Tensor next_exploration_noise;          // where there is exploration noise, [B, A]
    PolicyDraws policy;                     // in updates with the policy
  };
  void update(const Batch& batch, const Draws& draws, uint64_t step, std::span<float> metrics);
  void report_acting(Tensor state, const DrawSource& draws) override;   // with exploration noise
  void improve_policy(const ActionValue& q, Tensor state, uint64_t step) override;

 private:
  void save(SafetensorsWriter& file) const override;
  void load(const SafetensorsFile& file) override;
  PolicyDraws draw_policy(uint64_t step, int64_t rows) const;
  void update_critics(const Batch& batch, const Draws& draws, uint64_t step, std::span<float> metrics);
  void update_policy(Tensor state, Tensor replay_action, const ActionValue* given, const PolicyDraws& draws,
                     uint64_t step, std::span<float> metrics);
  void report_by_decile(Report& report, int first_metric, Tensor t, Tensor ess) const;
  void update_noise(uint64_t step, std::span<float> metrics);

  SomSettings settings_;
  FlowTimesSampler sampler_;
  FlowNetwork mean_velocity_;
  TwinCritic critic_;
  TrainState actor_;
  ParameterLayout noise_;                   // one number, l
  TrainState noise_log_scale_;
  Policy& policy_;
  FlowSampler& flow_;
  Buffer policy_metrics_;                   // of the last policy update, for the updates without one
  mutable std::vector<float> saved_metrics_;   // what a file being written reads
};

}  // namespace meander
