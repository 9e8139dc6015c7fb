#pragma once

#include <memory>
#include <optional>
#include <span>
#include <variant>

#include <meander/kernels/mlp_shape.h>
#include <meander/kernels/philox.h>
#include <meander/nn/flow_sampler.h>

namespace meander {

// How an agent acts, stated once and without a word about its algorithm: actions are drawn and bounded, of N the best
// by two critics is taken, and exploration may add noise. Everything pointed to lives as long as the agent; parameters
// are read where they lie. Symbols: S observation size, A action size, h actions of a chunk, D = h A, K candidates a
// state.
struct PolicyDescription {
  // x ~ N(0, I) at t = 1, then T steps x <- x - u(s, x, t, r) / T down to t = 0: r = t - 1/T, or Euler's r = t.
  struct Flow {
    const FlowNetwork* network;
    int64_t steps;                           // T
    bool euler;
  };
  // x = mean + sigma e, e ~ N(0, I), [mean, log sigma] = network(s), log sigma clipped; evaluation takes the mean.
  struct Gaussian {
    const ParameterLayout* layout;
    const kernels::MlpShape* network;        // [S] -> [2 D]
    double log_sigma_low, log_sigma_high;
  };
  // x = network(s, e), e ~ N(0, I): a one-step policy, which maps noise straight to an action.
  struct OneStep {
    const ParameterLayout* layout;
    const kernels::MlpShape* network;        // [D + S] -> [D]
    const FlowNetwork* distilled = nullptr;  // the flow it stands for, and its parameters
    const Buffer* distilled_params = nullptr;
  };
  // Two critics of one network on [state, chunk].
  struct Scores {
    const ParameterLayout* layout;
    const kernels::MlpShape* network;
    const Buffer* params[2];
    bool target;                             // they are the target critics, else the online ones
    Tensor atoms;                            // Q = sum_j softmax(outputs)_j atoms_j; absent: the one output is Q
    bool smaller;                            // of the two Q, else their mean
  };
  enum class Bound { clip, tanh };           // of each number of x to [-1, 1]

  int64_t observations, actions, chunk = 1;  // S, A, h
  std::variant<Flow, Gaussian, OneStep> actor;
  const Buffer* params;                      // the actor's
  Bound bound = Bound::clip;
  kernels::Precision precision = kernels::Precision::float32;   // of the products of actor and critics
  std::optional<Scores> scores = {};         // absent: there is never more than one candidate
  int64_t explore_candidates = 1, act_candidates = 1;           // N, of which the one with the largest Q is taken
  const Buffer* noise_log_scale = nullptr;   // l: exploring adds N(0, (.1 exp l)^2) and clips; null: nothing is added

  bool has_flow() const {                    // acts by one, or in the place of one
    const auto* one_step = std::get_if<OneStep>(&actor);
    return std::holds_alternative<Flow>(actor) || (one_step && one_step->distilled);
  }
  int64_t numbers() const { return chunk * actions; }           // D
};

// The best of the K actions of each state.
struct Choice {
  Tensor action, q;                      // [B K, D], [B, K]
  Tensor q1, q2;                         // of which q is the smaller, or the mean
  Tensor best, chosen;                   // the column of the largest q, int32 [B, 1]; its action [B, D]
};

// Acts as its description says. What depends on parameters alone (the times' share of the first layer, packed weights)
// is kept from call to call: say which changed.
class Policy {
 public:
  explicit Policy(const PolicyDescription& description);
  const PolicyDescription& description() const { return description_; }

  // Actions in [-1, 1]: state [B, S], noise [B K, D] -> [B K, D]. A Gaussian has one a state, its mean without noise.
  Tensor sample(Tensor state, Tensor noise);
  // Of these the one with the largest Q. For K = 1 there is nothing to choose: q, q1, q2 and best are absent.
  Choice best_candidate(Tensor state, Tensor noise);
  // clip(action + .1 exp(l) noise, -1, 1)
  Tensor with_noise(Tensor action, Tensor noise) const;

  // How far one step is from the flow it stands for: mean over the numbers of |a - b|, [1, 1], a of one step of the
  // actor, b of so many Euler steps of its own instantaneous field, both bounded; noise [B, D]. Throws Error without a
  // flow. Not for the training path: it allocates.
  Number one_step_gap(Tensor state, Tensor noise, int64_t euler_steps = 64);

  // From a state of the host [S] to a chunk there [h A], with the random numbers that (seed, step) name; waits for the
  // device. A device that can goes all the way in one launch (kernels/candidates.h).
  void explore(std::span<const float> state, uint64_t seed, uint64_t step, std::span<float> chunk);
  void act(std::span<const float> state, uint64_t seed, uint64_t step, std::span<float> chunk);

  // From now on a candidate's Q is the smaller of the two, or their mean.
  void rank_by_smaller(bool smaller) { description_.scores->smaller = smaller; }
  // act_candidates from now on. Throws Error if there are several and nothing to choose them by.
  void act_by_best_of(int64_t candidates);

  FlowSampler& flow() { return *flow_; }     // of a flow policy
  void prepare();                            // computes now what acting would otherwise compute first, and keeps it
  void outdate();                            // all parameters changed,
  void outdate_scores();                     // or the critics' alone

 private:
  bool is_gaussian() const { return std::holds_alternative<PolicyDescription::Gaussian>(description_.actor); }
  Tensor gaussian(Tensor state, Tensor noise);
  Tensor one_step(Tensor state, Tensor noise);
  Tensor decide(Tensor state, const kernels::RandomKey& noise, int64_t candidates);
  void decide(std::span<const float> state, const kernels::RandomKey& noise, int64_t candidates,
              std::span<float> chunk);
  bool in_one_launch(const float* state, const kernels::RandomKey& noise, int64_t candidates, float* chunk);
  bool in_one_launch(std::span<const float> state, const kernels::RandomKey& noise, int64_t candidates,
                     std::span<float> chunk);

  PolicyDescription description_;
  std::optional<FlowSampler> flow_;
  ReadyWeights ready_actor_, ready_scores_[2];   // of an actor that is no flow; of the critics
  std::unique_ptr<float, void (*)(void*)> exchange_{nullptr, nullptr};   // of the host: a state, then a chunk
};

}  // namespace meander
