#pragma once

#include <meander/kernels/mlp.h>
#include <meander/nn/buffer.h>
#include <meander/nn/queued_update.h>

namespace meander {

// A network's weights made ready once for many small calls between two updates: packing them costs more than a call.
class ReadyWeights {
 public:
  void outdate() { kept_.outdate(); }
  // Readied anew if they are outdated. `params` must not change while the result is in use.
  const kernels::MlpProducts& of(const kernels::MlpShape& network, const Buffer& params,
                                 kernels::Precision precision = kernels::Precision::float32) {
    if (kept_.current()) return products_;
    if (memory_.size() == 0) memory_ = Buffer(kernels::current().mlp_prepared_size(network));
    kernels::current().mlp_prepare(network, params.data(), precision, memory_.data());
    products_ = {precision, memory_.data()};
    kept_.made();
    return products_;
  }

 private:
  Buffer memory_;
  kernels::MlpProducts products_;
  Kept kept_;
};

}  // namespace meander
