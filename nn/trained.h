#pragma once

#include <cassert>
#include <initializer_list>

#include <meander/nn/parameters.h>
#include <meander/nn/queued_update.h>

namespace meander {

// A network's flat parameters with the state of their Adam optimiser.
struct Trained {
  Buffer params, m, v;

  explicit Trained(int64_t size) : params(size), m(size), v(size) {}
  Tensor tensor() const { return params.tensor(); }
  // One Adam step along the flat gradient [1, n]; step counts from 1.
  void descend(Tensor gradient, const kernels::AdamConstants& constants, int64_t step);
  // params = (1 - rate) params + rate source's
  void follow(const Trained& source, double rate) {
    kernels::current().exponential_average(params.size(), static_cast<float>(rate), source.params.data(), params.data(),
                                           QueuedUpdate::failed_flag());
  }
};

// Adam steps of several networks at once, each along its flat gradient; where a target is given it then follows as by
// `follow`.
struct Descent {
  Trained& network;
  Tensor gradient;
  Trained* target = nullptr;
};
inline void descend(std::initializer_list<Descent> descents, const kernels::AdamConstants& constants, int64_t step,
                    double rate = 0) {
  kernels::AdamOf all[4];
  size_t count = 0;
  assert(descents.size() <= std::size(all));
  for (const Descent& d : descents) {
    Trained& n = d.network;
    all[count++] = {n.params.size(), d.gradient.f32(), n.params.data(), n.m.data(), n.v.data(),
                    d.target ? d.target->params.data() : nullptr};
  }
  kernels::current().adam({all, count}, constants, static_cast<float>(rate), step,
                          QueuedUpdate::place_of(static_cast<uint64_t>(step)), QueuedUpdate::failed_flag());
}

inline void Trained::descend(Tensor gradient, const kernels::AdamConstants& constants, int64_t step) {
  meander::descend({{*this, gradient}}, constants, step);
}

}  // namespace meander
