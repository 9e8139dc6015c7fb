#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include <meander/kernels/mlp_shape.h>

namespace meander::bench {

// A perceptron, what is asked of it and for how many rows, as the name of a case says it:
//   mlp/87-256-256-6/gelu/layer/forward/256/float32
// widths (1 to 16384, at most MlpShape::max_layers layers), activation, norm, pass, rows, precision of products.
struct MlpDescription {
  std::vector<int64_t> widths;
  kernels::Activation activation = kernels::Activation::gelu;
  kernels::Norm norm = kernels::Norm::before_activation;   // layer, layer-after or none
  std::string pass;                                        // of mlp_passes
  int64_t rows = 1;
  kernels::Precision precision = kernels::Precision::float32;

  // Throws Error, in one line, if the name is none, or asks for what the engine lacks: products that round in a pass
  // with gradients, candidates of one input.
  explicit MlpDescription(const std::string& name);

  // Of one call: multiply-adds x 2 of the products as the pass states them, nothing shared or left out; and what is
  // read and written once at least: parameters, inputs, results.
  double flop() const;
  double bytes() const;
  // How many of the inputs, the last ones, are a candidate's own in the pass candidates.
  int64_t own() const { return std::max<int64_t>(1, widths[0] / 4); }
};

// x: inputs [rows, in], dx: a direction of them, c: a cotangent [rows, out], v: a direction of the parameters.
//   forward          y
//   jvp              y and its derivative along dx
//   backward         the gradient of sum(c y) by the parameters
//   jvp+backward     y, its derivative along dx, and that gradient, from one pass forwards
//   hvp              the derivative of that gradient along v: a Hessian-vector product
//   input-gradient   the gradient of sum(c y) by x
//   candidates       for each row 32 candidates that share all inputs but their own: the largest output
inline const std::vector<std::string> mlp_passes = {"forward", "jvp", "backward", "jvp+backward", "hvp",
                                                    "input-gradient", "candidates"};
constexpr int64_t mlp_candidates = 32;

}  // namespace meander::bench
