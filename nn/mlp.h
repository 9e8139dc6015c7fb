#pragma once

#include <meander/core/operations.h>
#include <meander/kernels/mlp_shape.h>
#include <meander/nn/parameters.h>

namespace meander {

// The hidden layers of a perceptron.
struct Hidden {
  int64_t width, layers;
  kernels::Activation activation = kernels::Activation::gelu;
  kernels::Norm norm = kernels::Norm::before_activation;
  Initial initial = Initial::xavier_uniform;   // of the kernels; biases start at 0 or, with fan_in_uniform, as these
};

// Adds a multi-layer perceptron's parameters to a layout as dense_0/kernel, dense_0/bias, norm_0/scale, norm_0/bias and
// so on, and returns its shape: inputs -> hidden layers -> outputs.
kernels::MlpShape add_mlp(ParameterLayout& layout, int64_t inputs, const Hidden& hidden, int64_t outputs);

}  // namespace meander
