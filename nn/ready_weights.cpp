#include <meander/nn/ready_weights.h>

#include <meander/kernels/device.h>

namespace meander {

const kernels::MlpProducts& ReadyWeights::of(const kernels::MlpShape& network, const Buffer& params,
                                             kernels::Precision precision) {
  if (kept_.current()) return products_;
  if (memory_.size() == 0) memory_ = Buffer(kernels::current().mlp_prepared_size(network));
  kernels::current().mlp_prepare(network, params.data(), precision, memory_.data());
  products_ = {precision, memory_.data()};
  kept_.made();
  return products_;
}

}  // namespace meander
