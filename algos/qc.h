#pragma once

#include <meander/algos/chunk_learner.h>

namespace meander {

// Q-chunking: Li, Zhou, Levine, arXiv 2507.07969 (2025). A flow policy imitates the replay's chunks; N of its samples,
// each of 10 Euler steps, are ranked by the critics for acting and for the critics' target.
// Best-of-N (BFN) is horizon 1, candidates 4; BFN-n the same with return_steps n.
struct QcSettings final : ChunkSettings {
  int64_t sampling_steps = 10;              // T

  std::string name() const override { return "qc"; }
  std::string title() const override { return "Q-Chunking"; }
  std::vector<Setting> settings() override;
  std::unique_ptr<Agent> make_agent(int observations, int actions, uint64_t seed) const override;
};

class Qc final : public ChunkLearner {
 public:
  Qc(int observations, int actions, const QcSettings& settings, uint64_t seed);

  FlowMatching actor_loss(const Batch& batch, Tensor noise, Tensor t) const {
    return flow_matching(actor_, batch, noise, t);
  }

  void update(const Batch& batch, uint64_t step, std::span<float> metrics) override;
  // All random numbers of one update, and an update with the given ones.
  struct Draws {
    Tensor next_candidate_noise;            // [B N, h A]
    Tensor interpolation_noise, time;       // [B, h A], [B, 1]
  };
  void update(const Batch& batch, const Draws& draws, uint64_t step, std::span<float> metrics);
  int kind_of_update(const Batch&) const override { return 0; }

 private:
  ChunkFlow actor_;
  Policy& policy_;
};

}  // namespace meander
