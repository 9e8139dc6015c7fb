#pragma once

#include <meander/algos/chunk_learner.h>
#include <meander/algos/mean_flow.h>

namespace meander {

// Mean Velocity Policy with instantaneous velocity constraint: Zhan et al., arXiv 2602.13810 (2026). A one-step policy
// over chunks of actions; N of its samples are ranked by the critics, as in Q-chunking. What the paper does not say is
// inferred; docs/algorithms.md tells which.
struct MvpSettings final : ChunkSettings {
  std::string target = "best";              // best, replay: what the policy regresses on once it acts for itself
  double lambda = 1;                        // weight of the constraint
  std::string constraint = "split";         // split, separate: its rows
  bool adaptive_weight = true;              // of each element in the losses
  std::string times = "logit_normal";       // logit_normal, uniform
  double logit_mean = -0.4, logit_deviation = 1.0, share_equal_times = 0;

  std::string name() const override { return "mvp"; }
  std::string title() const override { return "Mean Velocity Policy"; }
  std::vector<Setting> settings() override;
  std::vector<Renamed> renamed() const override { return renamed_flow_times(); }
  std::unique_ptr<Agent> make_agent(int observations, int actions, uint64_t seed) const override;
};

class Mvp final : public ChunkLearner {
 public:
  Mvp(int observations, int actions, const MvpSettings& settings, uint64_t seed);

  // The rows of both losses, one block below the other: first those of the constraint, where r = t, then those of the
  // mean-flow identity. Both are the same regression of u on v - (t - r) du/dt, which is v where r = t.
  struct Rows {
    int64_t constraint;                     // rows of the first block
    Tensor state, action, noise, valid;     // valid: absent if all count
    FlowTimes time;
  };
  // state [B, S], action [B, h A], valid [B, h A] or absent; the noise and the columns a, b of the times hold as many
  // rows as row_count(B) says.
  Rows rows(Tensor state, Tensor action, Tensor valid, Tensor noise, Tensor a, Tensor b) const;
  int64_t row_count(int64_t batch) const;

  // L = L_MF + lambda L_IVC:
  //   L_MF  = mean of w (u(x_t, t, r) - stopgrad(v - (t - r) du/dt))^2
  //   L_IVC = mean of w (u(x_t, t, t) - v)^2,                          x_t = (1 - t) a + t e, v = e - a
  // with w = stopgrad((d^2 + 1e-3)^-1/2) of the difference d itself, or 1.
  struct RegressionLoss {
    Number loss, mean_flow, constraint;
    Tensor x, velocity;                     // x_t and v, [R, h A]
    Tensor mean_field, derivative, target;  // u, du/dt and what u is drawn to, as MeanFlowIdentity's
    Tensor gradient;                        // [1, parameters]
  };
  RegressionLoss actor_loss(const Rows& rows) const;

  void update(const Batch& batch, uint64_t step, std::span<float> metrics) override;
  // All random numbers of one update, and an update with the given ones. R = row_count(B).
  struct Draws {
    Tensor next_candidate_noise;            // [B N, h A]
    Tensor candidate_noise;                 // of what the policy regresses on, likewise; absent: on the batch's chunks
    Tensor interpolation_noise;             // [R, h A]
    Tensor interval_a, interval_b;          // [R, 1]
  };
  void update(const Batch& batch, const Draws& draws, uint64_t step, std::span<float> metrics);
  void report_acting(Tensor state, const DrawSource& draws) override;   // the one-step gap
  int kind_of_update(const Batch& batch) const override { return batch.offline; }

 private:
  MvpSettings settings_;
  FlowTimesSampler sampler_;
  ChunkFlow actor_;
  Policy& policy_;
};

}  // namespace meander
