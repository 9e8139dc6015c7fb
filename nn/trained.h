#pragma once

#include "nn/parameters.h"
#include "nn/queued_update.h"

namespace meander {

// A network's flat parameters with the state of their Adam optimiser.
struct Trained {
  Buffer params, m, v;

  explicit Trained(int64_t size) : params(size), m(size), v(size) {}
  Tensor tensor() const { return params.tensor(); }
  // One Adam step along the flat gradient [1, n]; step counts from 1.
  void descend(Tensor gradient, const kernels::AdamConstants& constants, int64_t step) {
    kernels::current().adam(params.size(), constants, step, QueuedUpdate::place_of(static_cast<uint64_t>(step)),
                            gradient.f32(), params.data(), m.data(), v.data(), QueuedUpdate::failed_flag());
  }
  // params = (1 - rate) params + rate source's
  void follow(const Trained& source, double rate) {
    kernels::current().exponential_average(params.size(), static_cast<float>(rate), source.params.data(), params.data(),
                                           QueuedUpdate::failed_flag());
  }
};

}  // namespace meander
