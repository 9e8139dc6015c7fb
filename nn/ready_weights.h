#pragma once

#include <meander/kernels/mlp_shape.h>
#include <meander/nn/buffer.h>
#include <meander/nn/queued_update.h>

namespace meander {

// A network's weights made ready once for many small calls between two updates: packing them costs more than a call.
class ReadyWeights {
 public:
  void outdate() { kept_.outdate(); }
  // Readied anew if they are outdated. `params` must not change while the result is in use.
  const kernels::MlpProducts& of(const kernels::MlpShape& network, const Buffer& params,
                                 kernels::Precision precision = kernels::Precision::float32);

 private:
  Buffer memory_;
  kernels::MlpProducts products_;
  Kept kept_;
};

}  // namespace meander
