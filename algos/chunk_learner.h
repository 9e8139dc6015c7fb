#pragma once

#include <meander/algos/learner.h>
#include <meander/algos/settings.h>
#include <meander/nn/twin_critic.h>

namespace meander {

// What MVP and QC have in common: a flow policy over chunks of h actions, of which N candidates are generated and the
// best by the critics is taken, and the critics of those chunks. After Q-chunking (Li, Zhou, Levine, arXiv 2507.07969).
// Symbols: B batch, S observation size, A action size, h actions of a chunk, n steps of the return (h if not said).
struct ChunkOptions {
  int64_t batch_size = 256;
  double discount = 0.99;
  double target_rate = 0.005;               // tau
  double learning_rate = 3e-4;
  int64_t horizon = 5;                      // h
  int64_t return_steps = 0;                 // n; 0: h
  int64_t candidates = 32;                  // N
  int64_t actor_width = 512, actor_layers = 4;     // hidden, GELU
  int64_t critic_width = 512, critic_layers = 4;   // hidden, GELU then LayerNorm
};

struct ChunkSettings : AlgorithmSettings {
  ChunkOptions chunk;

  std::vector<Setting> settings() override;
  void adapt_loop(TrainingSettings&) const override;
  void check() const;                       // throws Error if n < h
};

class ChunkLearner : public Learner {
 public:
  int batch_size() const override { return static_cast<int>(options_.batch_size); }
  int return_steps() const override {
    return static_cast<int>(options_.return_steps > 0 ? options_.return_steps : options_.horizon);
  }

  // Chunks in [-1, 1]: noise [B K, h A] -> [B K, h A]
  Tensor sample(Tensor state, Tensor noise) { return policy_.sample(state, noise); }

  // y = sum_{i<n} gamma^i r_i + gamma^n mask mean(Q1', Q2')(s_{t+n}, a*'), [B, 1]; next_action [B, h A]
  Tensor critic_target(const Batch& batch, Tensor next_action) const;
  // The mean over all B rows of valid_{n-1} (Q_i(s, a) - y)^2: a chunk that an episode's end cuts does not count.
  TwinCritic::Loss critic_loss(int critic, const Batch& batch, Tensor target) const;
  // valid_i of each action number of a chunk, [B, h A]
  Tensor valid_actions(const Batch& batch) const;

 protected:
  ChunkLearner(int observations, int actions, const ChunkOptions& options, Times times, int64_t sampling_steps,
               bool euler, uint64_t seed);

  // The two critics' losses of one update, by the best of N candidates at s'.
  void critic_losses(const Batch& batch, uint64_t step, TwinCritic::Loss (&loss)[2], Report& report);
  Tensor candidate_noise(Purpose purpose, uint64_t step, int64_t states) const;
  int64_t chunk_actions() const { return options_.horizon * actions_; }   // h A

  ChunkOptions options_;
  kernels::AdamConstants adam_;
  FlowNetwork actor_network_;
  Trained actor_;
  TwinCritic critic_;
  Policy& policy_;
  Buffer discounts_;   // gamma^i, [1, n]
};

}  // namespace meander
