#pragma once

#include "core/arena.h"
#include "kernels/candidates.h"
#include "nn/flow_sampler.h"

namespace meander {

// What scores the candidates of a state: two critics of one network on [state, action].
struct Scores {
  const kernels::MlpShape* network;
  const Buffer* params[2];
  Tensor atoms;                 // Q = sum_j softmax(outputs)_j atoms_j; absent: the one output is Q
  bool smaller;                 // of the two, else their mean
};

// Acting: K actions drawn for one state, the best of them. A device that can does it in one launch (kernels/candidates.h);
// else the noise is drawn and goes to the composite, Tensor(Tensor noise [K, A]) -> [1, A], which the caller states.
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
    if (in_one_launch(state, noise, candidates, action)) return action;
    const Tensor drawn = empty(candidates, actions_);
    kernels::current().philox_normal(noise, nullptr, drawn.size(), drawn.f32());
    return composite(drawn);
  }
  template <class Composite>
  Tensor one(Tensor state, const kernels::RandomKey& noise, Composite&& composite) {
    return best(state, noise, 1, composite);
  }

 private:
  bool in_one_launch(Tensor state, const kernels::RandomKey& noise, int64_t candidates, Tensor action);

  int64_t observations_, actions_;
  FlowSampler& flow_;
  bool squash_;
  Scores scores_;
  kernels::Precision precision_;
};

}  // namespace meander
