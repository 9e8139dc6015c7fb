#pragma once

#include <meander/algos/settings.h>

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
  // float32, tf32, bfloat16: of the products
  std::string drawing_precision = "float32", scoring_precision = "float32";
  std::string acting_precision = "float32";                                   // where no gradient passes
  int64_t evaluation_candidates = 10;
  bool clipped_double_q = true;
  int64_t atoms = 101;
  double v_min = -1600, v_max = 1600;
  double alpha = 0.01;                      // initial temperature
  bool tune_alpha = true;
  double alpha_floor = 0;
  double target_entropy_per_action = -0.5;
  double logit_mean = -0.4, logit_deviation = 1.0, share_equal_times = 0.75;

  std::string name() const override { return "mfpo"; }
  std::string title() const override { return "Mean Flow Policy Optimization"; }
  std::vector<Setting> settings() override;
  std::vector<Renamed> renamed() const override { return renamed_flow_times(); }
  void adapt(const EnvironmentInfo&) override;
  std::unique_ptr<Agent> make_agent(int observations, int actions, uint64_t seed) const override;
};

}  // namespace meander
