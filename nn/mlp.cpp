#include "nn/mlp.h"

namespace meander {

kernels::MlpShape add_mlp(ParameterLayout& layout, int64_t inputs, int64_t hidden_width, int64_t hidden_layers,
                          int64_t outputs, kernels::Activation activation, kernels::Norm norm) {
  kernels::MlpShape shape;
  if (hidden_layers < 0 || hidden_layers + 1 > kernels::MlpShape::max_layers)
    throw Error(message("a network of ", hidden_layers, " hidden layers: 0 to ", kernels::MlpShape::max_layers - 1,
                        " are supported"));
  shape.layers = static_cast<int>(hidden_layers) + 1;
  shape.activation = activation;
  shape.norm = norm;
  shape.width[0] = inputs;
  for (int l = 0; l < shape.layers; ++l) {
    const bool last = l + 1 == shape.layers;
    const int64_t in = shape.width[l], out = shape.width[l + 1] = last ? outputs : hidden_width;
    const std::string index = std::to_string(l);
    shape.weight[l] = layout.add("dense_" + index + "/kernel", {in, out}, Initial::xavier_uniform);
    shape.bias[l] = layout.add("dense_" + index + "/bias", {out}, Initial::zero);
    if (last || norm == kernels::Norm::none) continue;
    shape.scale[l] = layout.add("norm_" + index + "/scale", {out}, Initial::one);
    shape.shift[l] = layout.add("norm_" + index + "/bias", {out}, Initial::zero);
  }
  return shape;
}

}  // namespace meander
