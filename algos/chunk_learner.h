#pragma once

#include <meander/algos/learner.h>
#include <meander/algos/settings.h>
#include <meander/kernels/optimiser.h>
#include <meander/nn/twin_critic.h>

namespace meander {

// The parts of an algorithm that learns chunks of h actions: critics of chunks, flows over chunks, and acting by the
// best of N of a flow's chunks. After Q-chunking (Li, Zhou, Levine, arXiv 2507.07969). MVP, QC and FQL are made of
// them.
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

  int64_t steps() const { return return_steps > 0 ? return_steps : horizon; }   // n
};

struct ChunkSettings : AlgorithmSettings {
  ChunkOptions chunk;

  std::vector<Setting> settings() override;
  void adapt_loop(TrainingSettings&) const override;
  void check() const;                       // throws Error if n < h

 protected:
  std::vector<Setting> settings_and(std::initializer_list<Setting> own);   // the shared ones first
};

// Two critics of a state and a chunk, with returns of n steps.
class ChunkCritics {
 public:
  // `target`: the value of a next state, of the two target critics'.
  ChunkCritics(int observations, int actions, const ChunkOptions& options, TwinCritic::Chosen target, uint64_t seed);

  // y = sum_{i<n} gamma^i r_i + gamma^n mask V'(s_{t+n}, a'), [B, 1], V' the mean or the smaller of Q1', Q2';
  // next_action a' [B, h A]
  struct Target {
    Tensor rewards;                          // the sum
    TwinCritic::Estimates next;              // Q1', Q2', V'
    Tensor value;                            // y
  };
  Target whole_target(const Batch& batch, Tensor next_action) const;
  Tensor target(const Batch& batch, Tensor next_action) const { return whole_target(batch, next_action).value; }
  // The mean over all B rows of valid_{n-1} (Q_i(s, a) - y)^2: a chunk that an episode's end cuts does not count.
  TwinCritic::Loss loss(int critic, const Batch& batch, Tensor target) const;
  struct Losses {
    TwinCritic::Loss of[2];
  };

  PolicyDescription::Scores scores() const;   // the mean of the online critics

  TwinCritic critic;

 private:
  double discount_;
  Buffer discounts_;   // gamma^i, [1, n]
};

// A flow over chunks with its parameters.
struct ChunkFlow {
  FlowNetwork network;
  TrainState train_state;

  // time_features: FlowNetwork's.
  ChunkFlow(int observations, int actions, const ChunkOptions& options, Times times, const Stream& initialise,
            int64_t time_features = 0);
};

// The loss by which a flow learns to imitate, with its gradient.
struct FlowMatching {
  Number loss;
  Tensor x, velocity, predicted;            // x_t, e - a, v(s, x_t, t); [B, h A]
  Tensor valid;                             // of each action number, [B, h A]
  Tensor gradient;                          // [1, parameters]
};

// A learner of chunks: the shared settings, and critics. Its flows are its own.
class ChunkLearner : public Learner {
 public:
  int batch_size() const override { return static_cast<int>(options_.batch_size); }
  int return_steps() const override { return static_cast<int>(options_.steps()); }
  const ChunkCritics& critics() const { return critics_; }
  std::optional<double> discount() const override { return options_.discount; }
  double chunk_value(std::span<const float> state, std::span<const float> chunk) override;
  double state_value(std::span<const float> state, uint64_t step) override;

  // valid_i of each action number of a chunk, [B, h A]
  Tensor valid_actions(const Batch& batch) const;

 protected:
  ChunkLearner(int observations, int actions, const ChunkOptions& options, uint64_t seed,
               TwinCritic::Chosen target = TwinCritic::Chosen::mean);

  // The mean over B, h and A of valid_i (v(s, x_t, t) - (e - a))^2, x_t = (1 - t) a + t e, a the replay's chunk;
  // noise e [B, h A], t [B, 1].
  FlowMatching flow_matching(const ChunkFlow& flow, const Batch& batch, Tensor noise, Tensor t) const;
  // Acting by the best of N chunks of T steps of this flow.
  PolicyDescription best_of_candidates(const ChunkFlow& flow, int64_t steps, bool euler) const;
  // The two critics' losses of one update, by the best of N candidates at s' from noise [B N, h A];
  // checked and reported.
  ChunkCritics::Losses critic_losses(const Batch& batch, Tensor noise, Report& report);
  int64_t chunk_actions() const { return options_.horizon * actions_; }   // h A

  ChunkOptions options_;
  kernels::AdamConstants adam_;
  ChunkCritics critics_;
};

}  // namespace meander
