#pragma once

#include <initializer_list>

#include <meander/kernels/optimiser.h>
#include <meander/nn/parameters.h>

namespace meander {

// A network's flat parameters with the state of their Adam optimiser.
struct TrainState {
  Buffer params, m, v;

  explicit TrainState(int64_t size) : params(size), m(size), v(size) {}
  Tensor tensor() const { return params.tensor(); }
  // One Adam step along the flat gradient [1, n]; step counts from 1.
  void descend(Tensor gradient, const kernels::AdamConstants& constants, int64_t step);
  // params = (1 - rate) params + rate source's; the moments stay.
  void follow(const TrainState& source, double rate);
};

// Adam steps of several networks at once, each along its flat gradient; where a target is given it then follows as by
// `follow`.
struct Descent {
  TrainState& network;
  Tensor gradient;
  TrainState* target = nullptr;
};
void descend(std::initializer_list<Descent> descents, const kernels::AdamConstants& constants, int64_t step,
             double rate = 0);

}  // namespace meander
