#pragma once

#include <meander/algos/chunk_learner.h>

namespace meander {

// Flow Q-learning: Park, Li, Levine, arXiv 2502.02538 (2025); with chunks Li, Zhou, Levine, arXiv 2507.07969 (2025).
// A behaviour flow imitates the replay's chunks. A one-step policy mu, which acts, maps noise straight to a chunk: it
// is drawn towards where the flow's T Euler steps take the same noise, and up the critics. No gradient passes through
// the steps.
struct FqlSettings final : ChunkSettings {
  double distillation = 10;                 // alpha
  int64_t sampling_steps = 10;              // T
  bool normalise_q = false;
  std::string target_value = "mean";

  FqlSettings() { chunk.horizon = 1, chunk.candidates = 1; }
  std::string name() const override { return "fql"; }
  std::string title() const override { return "Flow Q-Learning"; }
  std::vector<Setting> settings() override;
  std::unique_ptr<Agent> make_agent(int observations, int actions, uint64_t seed) const override;
};

class Fql final : public ChunkLearner {
 public:
  Fql(int observations, int actions, const FqlSettings& settings, uint64_t seed);

  FlowMatching behaviour_loss(const Batch& batch, Tensor noise, Tensor t) const {
    return flow_matching(behaviour_, batch, noise, t);
  }
  // L = alpha L_D + L_Q of the one-step policy, for states [B, S] and one noise z [B, h A] for it and for the flow:
  //   L_D = mean over B, h and A of (mu(z, s) - b)^2, b the flow's chunk from z, clipped
  //   L_Q = -lambda mean over B of q, q = (Q1 + Q2)/2 of the online critics at clip(mu(z, s), -1, 1)
  // lambda = 1, or 1 / mean |q| with normalise_q. Flow, critics and lambda are constants.
  struct PolicyLoss {
    Number loss, distillation, q_loss, q_scale;   // L, L_D, L_Q, lambda
    Tensor one_step, action, flow_action;         // mu, clipped mu, b; [B, h A]
    Tensor q1, q2, q;                             // [B, 1]
    Tensor gradient;                              // [1, parameters]
  };
  PolicyLoss actor_loss(Tensor state, Tensor noise);

  void update(const Batch& batch, uint64_t step, std::span<float> metrics) override;
  // All random numbers of one update, and an update with the given ones.
  struct Draws {
    Tensor next_candidate_noise;            // [B N, h A]
    Tensor interpolation_noise, time;       // [B, h A], [B, 1]; of the flow's loss
    Tensor policy_noise;                    // z [B, h A]
  };
  void update(const Batch& batch, const Draws& draws, uint64_t step, std::span<float> metrics);
  int kind_of_update(const Batch&) const override { return 0; }

 private:
  void parameters_changed() override;

  FqlSettings settings_;
  ChunkFlow behaviour_;
  ParameterLayout actor_layout_;
  kernels::MlpShape actor_trunk_;           // mu, of [z, s]
  TrainState actor_;
  Policy& policy_;
  FlowSampler flow_;                        // of the behaviour
};

}  // namespace meander
