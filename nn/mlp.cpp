#include <meander/nn/mlp.h>

namespace meander {

kernels::MlpShape add_mlp(ParameterLayout& layout, int64_t inputs, const Hidden& hidden, int64_t outputs) {
  kernels::MlpShape shape;
  if (hidden.layers < 0 || hidden.layers + 1 > kernels::MlpShape::max_layers)
    throw Error(message("a network of ", hidden.layers, " hidden layers: 0 to ", kernels::MlpShape::max_layers - 1,
                        " are supported"));
  shape.layers = static_cast<int>(hidden.layers) + 1;
  shape.activation = hidden.activation;
  shape.norm = hidden.norm;
  const Initial bias = hidden.initial == Initial::fan_in_uniform ? Initial::fan_in_uniform : Initial::zero;
  shape.width[0] = inputs;
  for (int l = 0; l < shape.layers; ++l) {
    const bool last = l + 1 == shape.layers;
    const int64_t in = shape.width[l], out = shape.width[l + 1] = last ? outputs : hidden.width;
    const std::string index = std::to_string(l);
    shape.weight[l] = layout.add("dense_" + index + "/kernel", {in, out}, hidden.initial, in);
    shape.bias[l] = layout.add("dense_" + index + "/bias", {out}, bias, in);
    if (last || hidden.norm == kernels::Norm::none) continue;
    shape.scale[l] = layout.add("norm_" + index + "/scale", {out}, Initial::one);
    shape.shift[l] = layout.add("norm_" + index + "/bias", {out}, Initial::zero);
  }
  return shape;
}

}  // namespace meander
