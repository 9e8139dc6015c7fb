#pragma once

#include "core/operations.h"
#include "nn/parameters.h"

namespace meander {

// Adds a multi-layer perceptron's parameters to a layout as dense_0/kernel, dense_0/bias, norm_0/scale, norm_0/bias and
// so on, and returns its shape: inputs -> hidden_layers x hidden_width -> outputs.
kernels::MlpShape add_mlp(ParameterLayout& layout, int64_t inputs, int64_t hidden_width, int64_t hidden_layers,
                          int64_t outputs, kernels::Activation activation = kernels::Activation::gelu,
                          kernels::Norm norm = kernels::Norm::before_activation);

}  // namespace meander
