#pragma once

#include "kernels/optimiser.h"
#include "nn/parameters.h"

namespace meander {

// A network's flat parameters with the state of their Adam optimiser.
struct Trained {
  Buffer params, m, v;

  explicit Trained(int64_t size) : params(size), m(size), v(size) {}
  Tensor tensor() const { return params.tensor(); }
  // One Adam step along the flat gradient [1, n]; step counts from 1.
  void descend(Tensor gradient, const kernels::AdamConstants& constants, int64_t step) {
    kernels::adam(params.size(), constants, step, gradient.f32(), params.data(), m.data(), v.data());
  }
};

}  // namespace meander
