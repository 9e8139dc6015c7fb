#pragma once

#include <meander/algos/learner.h>
#include <meander/algos/settings.h>
#include <meander/kernels/mlp_shape.h>
#include <meander/kernels/optimiser.h>
#include <meander/nn/twin_critic.h>

namespace meander {

// Soft Actor-Critic: Haarnoja et al., arXiv 1812.05905 (2018). Defaults are those of Stable-Baselines3.
// Symbols: B batch, S observation size, A action size.
struct SacSettings final : AlgorithmSettings {
  int64_t batch_size = 256;
  double discount = 0.99;
  double target_rate = 0.005;               // tau
  double learning_rate = 3e-4, adam_epsilon = 1e-8;
  int64_t width = 256, layers = 2;          // hidden, ReLU; of actor and critics
  double alpha = 1;                         // initial temperature
  bool tune_alpha = true;
  double target_entropy_per_action = -1;

  std::string name() const override { return "sac"; }
  std::string title() const override { return "Soft Actor-Critic"; }
  std::vector<Setting> settings() override;
  void adapt_loop(TrainingSettings&) const override;
  std::unique_ptr<Agent> make_agent(int observations, int actions, uint64_t seed) const override;
};

class Sac final : public Learner, public PolicyLearner {
 public:
  Sac(int observations, int actions, const SacSettings& settings, uint64_t seed);

  // a = tanh(x), x ~ N(mean, sigma^2) with (mean, log sigma) from the actor, log sigma clipped to [-20, 2]; noise [B, A]:
  //   log pi(a|s) = sum log N(x; mean, sigma^2) - sum log(1 - a^2 + 1e-6)
  struct Sample {
    Value action, log_prob;                 // [B, A], [B, 1]
  };
  Sample sample(Value params, Value state, Value noise) const;
  Sample sample(Tensor state, Tensor noise) const { return sample(actor_.tensor(), state, noise); }

  int batch_size() const override { return static_cast<int>(settings_.batch_size); }
  void update(const Batch& batch, uint64_t step, std::span<float> metrics) override;
  // All random numbers of one update, and an update with the given ones.
  struct Draws {
    Tensor next_noise, policy_noise;        // of a' and of the actor's own action, [B, A] each
  };
  void update(const Batch& batch, const Draws& draws, uint64_t step, std::span<float> metrics);
  int kind_of_update(const Batch&) const override { return 0; }
  void report_acting(Tensor state, const DrawSource& draws) override;   // exploring, with its log-probability
  void improve_policy(const ActionValue& q, Tensor state, uint64_t step) override;

 private:
  void update_critics(const Batch& batch, Tensor noise, uint64_t step, std::span<float> metrics);
  void update_policy(Tensor state, const ActionValue& q, Tensor noise, uint64_t step, std::span<float> metrics);
  Value alpha() const;                      // [1, 1]

  SacSettings settings_;
  kernels::AdamConstants adam_;
  ParameterLayout actor_layout_, temperature_;
  kernels::MlpShape actor_trunk_;
  TrainState actor_, log_alpha_;
  TwinCritic critic_;
  Policy& policy_;
};

}  // namespace meander
