#pragma once

#include <meander/algos/mfpo_phases.h>
#include <meander/kernels/mlp_shape.h>
#include <meander/kernels/optimiser.h>

namespace meander {

// Mean Flow Policy Optimization; its phases: algos/mfpo_phases.h.
class Mfpo final : public Learner, public PolicyLearner {
 public:
  Mfpo(int observations, int actions, const MfpoSettings& settings, uint64_t seed);

  int batch_size() const override { return static_cast<int>(settings_.batch_size); }
  void update(const Batch& batch, uint64_t step, std::span<float> metrics) override;
  int kind_of_update(const Batch&) const override { return 0; }
  void improve_policy(const ActionValue& q, Tensor state, uint64_t step) override;

  // All random numbers of one update, [rows, A] unless said otherwise.
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
  // One update with the given draws.
  void update(const Batch& batch, const Draws& draws, uint64_t step, std::span<float> metrics);
  Number alpha() const { return phases_.alpha(); }   // the temperature

 private:
  Draws draw(uint64_t step) const;
  void update_critics(const Batch& batch, const Draws& draws, uint64_t step, std::span<float> metrics);
  void update_policy(Tensor state, const ActionValue* given, const Draws& draws, uint64_t step,
                     std::span<float> metrics);

  MfpoSettings settings_;
  kernels::AdamConstants adam_;
  MfpoPhases phases_;
  kernels::Precision drawing_precision_, scoring_precision_;   // of proposals
};

}  // namespace meander
