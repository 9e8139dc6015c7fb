#pragma once

#include <meander/algos/chunk_learner.h>
#include <meander/algos/mean_flow.h>

namespace meander {

// The flow map with a Q gradient: Ziakas, Russo, Bose, arXiv 2605.12416 (2026). Offline a mean velocity u(s, x, t, r)
// learns the data's chunks. When the agent begins to act, u is copied and frozen: the anchor. From then on u is drawn
// towards the anchor's velocity moved by a bounded step along the gradient of Q at the action that the anchor gives.
// Acting is best of N. What the paper does not say follows its authors' code; docs/algorithms.md tells which.
struct FlowMapSettings final : ChunkSettings {
  double trust_radius = 1;                  // eta: length of the step, in action numbers
  bool adaptive_radius = true;              // shorter where the critics disagree
  double disagreement = 0.3;                // beta
  bool normalise_gradient = true;
  std::string gradient_at = "anchor";       // anchor, policy: whose action
  int64_t growth_start = 5'000, growth_length = 45'000;   // of the offline intervals, in updates
  int64_t time_features = 64;               // n, of each time; 0: the times themselves
  std::string offline_value = "mean", online_value = "min";
  double online_self_distillation = 0, online_diagonal = 0;   // weights of the offline losses online
  int64_t beam_width = 4, beam_branches = 4, beam_rounds = 0;
  double beam_step = 0, beam_snr = 1.5;
  std::string beam_completion = "velocity"; // velocity, map

  std::string name() const override { return "flow_map"; }
  std::string title() const override { return "Flow Map with a Q Gradient"; }
  std::vector<Setting> settings() override;
  std::string warning(const TrainingSettings&) const override;
  std::unique_ptr<Agent> make_agent(int observations, int actions, uint64_t seed) const override;
};

class FlowMap final : public ChunkLearner {
 public:
  FlowMap(int observations, int actions, const FlowMapSettings& settings, uint64_t seed);

  // All random numbers of one update. The losses of the data: offline, and online where they have a weight.
  struct Draws {
    Tensor next_candidate_noise;            // [B N, h A]
    Tensor diagonal_noise, diagonal_time;   // [B, h A], [B, 1]: of the diagonal's loss
    Tensor self_noise;                      // [B, h A], and
    Tensor interval_a, interval_b;          // [B, 1]: of the self-distillation's
    Tensor interpolation_noise, time;       // [B, h A], [B, 1]: online
  };

  // t, r = m +- g d / 2, m the middle of two uniforms and d their distance: intervals grow with g in [0, 1].
  static FlowTimes growing_interval(Tensor a, Tensor b, double growth);
  // g of the offline update `step`, from 1.
  double growth(uint64_t step) const;

  // Where the online policy is drawn: u_a - eta_b ghat, for x_t = (1 - t) a + t e and r = 0.
  struct QTarget {
    Tensor x;                               // x_t, [B, h A]
    Tensor anchor_velocity, anchor_action;  // u_a, clip(x_t - t u_a, -1, 1)
    Tensor q1, q2;                          // at the anchor's action, [B, 1]
    Tensor gradient;                        // of Q1 by the action, [B, h A]
    Tensor spread, radius;                  // |Q1 - Q2| / 2, eta_b; [B, 1]
    Tensor target;                          // [B, h A]
  };
  QTarget q_target(const Batch& batch, Tensor noise, Tensor t) const;

  // L = L_q + weight L_self + weight L_diag, each a mean over B, h and A of valid_i times a square:
  //   L_q    = (u(x, t, 0) - q_target)^2                                                     online
  //   L_self = (u(x, t, r) - stopgrad(v - (t - r) du/dt))^2                                  x = (1 - t) a + t e
  //   L_diag = (u(x, t, t) - v)^2                                                            v = e - a
  struct RegressionLoss {
    Tensor valid;                           // of each action number, [B, h A]
    Number loss, q, self, diagonal;
    Tensor q_u;                             // u(x, t, 0)
    FlowTimes self_time;
    Tensor self_x, self_velocity, self_u, derivative, self_target;
    Tensor diagonal_x, diagonal_velocity, diagonal_u;
    Tensor gradient;                        // [1, parameters]
  };
  RegressionLoss actor_loss(const Batch& batch, const Draws& draws, const QTarget& target, uint64_t step) const;

  // Q-guided beam search for each state [B, S]: M = beam_width chunks of noise [B M, h A]; in each round the
  // beam_branches copies of each are noised, again [B rounds M branches, h A], and completed, the M best stay, the best
  // of them last, and move by beam_step up the smaller Q; in the end the best. Waits for the device.
  struct Beam {
    // [B M branches, h A], [B, M branches], int32 [B M, 1], [B M, h A]
    struct Round { Tensor completed, q, kept, moved; };
    static constexpr int most_rounds = 16;
    Tensor first;                           // [B M, h A]
    Round rounds[most_rounds];
    Tensor q, best, action;                 // [B, M], int32 [B, 1], [B, h A]
  };
  Beam beam_search(Tensor state, Tensor noise, Tensor again);

  void update(const Batch& batch, uint64_t step, std::span<float> metrics) override;
  void update(const Batch& batch, const Draws& draws, uint64_t step, std::span<float> metrics);
  void report_acting(Tensor state, const DrawSource& draws) override;   // the beam search
  void begin_online() override;             // freezes the anchor
  // Offline the step decides how long intervals are.
  int kind_of_update(const Batch& batch) const override { return batch.offline ? -1 : 0; }
  void act(std::span<const float> state, uint64_t step, std::span<float> chunk) override;
  void act_by_best_of(int64_t candidates) override;   // without the beam

 private:
  void save(SafetensorsWriter& file) const override;
  void load(const SafetensorsFile& file) override;
  void value_by_phase();
  Tensor unit(Tensor gradient) const;       // ghat = g / (|g| + 1e-8) by row
  Tensor climb(Tensor state, Tensor action) const;

  FlowMapSettings settings_;
  ChunkFlow actor_, anchor_;
  Policy& policy_;
  uint8_t online_ = 0;                      // the anchor is frozen
  bool beam_;
};

}  // namespace meander
