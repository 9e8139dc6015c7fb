#pragma once

#include <memory>
#include <span>

#include <meander/core/arena.h>
#include <meander/kernels/candidates.h>
#include <meander/nn/flow_sampler.h>

namespace meander {

// What scores the candidates of a state: two critics of one network on [state, action].
struct Scores {
  const kernels::MlpShape* network;
  const Buffer* params[2];
  Tensor atoms;                 // Q = sum_j softmax(outputs)_j atoms_j; absent: the one output is Q
  bool smaller;                 // of the two, else their mean
};

// Acting: K actions drawn for one state, the best of them. A device that can does it in one launch (kernels/candidates.h);
// else the noise is drawn and goes to the composite, Tensor(Tensor state [1, S], Tensor noise [K, A]) -> [1, A], which the
// caller states.
class Candidates {
 public:
  // All of these must live as long as this. `squash`: actions are tanh of the flow's, else clipped. The one launch is
  // float32: with another precision it is not used.
  Candidates(int64_t observations, int64_t actions, FlowSampler& flow, bool squash, const Scores& scores,
             kernels::Precision precision = kernels::Precision::float32)
      : observations_(observations), actions_(actions), flow_(flow), squash_(squash), scores_(scores),
        precision_(precision) {}

  // state [1, S]. The choice among K = 1 needs no scores.
  template <class Composite>
  Tensor best(Tensor state, const kernels::RandomKey& noise, int64_t candidates, Composite&& composite) {
    const Tensor action = empty(1, actions_);
    if (in_one_launch(state.f32(), noise, candidates, action.f32())) return action;
    const Tensor drawn = empty(candidates, actions_);
    kernels::current().philox_normal(noise, nullptr, drawn.size(), drawn.f32());
    return composite(state, drawn);
  }
  // The same from a state of the host [S] to its action [A]; waits for the device.
  template <class Composite>
  void best(std::span<const float> state, const kernels::RandomKey& noise, int64_t candidates, std::span<float> action,
            Composite&& composite) {
    if (in_one_launch(state, noise, candidates, action)) return;
    ArenaScope scope;
    fetch(best(placed(view(state.data(), 1, observations_)), noise, candidates, composite), action.data());
  }

 private:
  bool in_one_launch(const float* state, const kernels::RandomKey& noise, int64_t candidates, float* action);
  bool in_one_launch(std::span<const float> state, const kernels::RandomKey& noise, int64_t candidates,
                     std::span<float> action);

  int64_t observations_, actions_;
  FlowSampler& flow_;
  bool squash_;
  Scores scores_;
  kernels::Precision precision_;
  std::unique_ptr<float, void (*)(void*)> exchange_{nullptr, nullptr};   // of the host: a state, then an action
};

}  // namespace meander
