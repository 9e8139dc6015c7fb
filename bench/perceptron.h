#pragma once

#include <string>
#include <vector>

#include "bench/data.h"
#include <meander/kernels/device.h>
#include <meander/kernels/mlp.h>

namespace meander::bench {

// A multi-layer perceptron whose parameters are PREFIX.weight_0, bias_0, scale_0, shift_0, ... of the data.
struct Perceptron {
  kernels::MlpShape shape;
  Buffer params;  // on the device that was current when it was made
  Perceptron(const Data& data, const std::string& prefix, const std::vector<int64_t>& widths,
             kernels::Norm norm = kernels::Norm::before_activation);

  double flop(int64_t rows) const;   // of one forward pass
  double bytes(int64_t rows) const;  // parameters, inputs and outputs
};
// Weights made ready once, as who acts for long has them (and as the peers may reorder theirs beforehand).
struct ReadyWeights {
  Buffer memory;
  kernels::MlpProducts products;
  ReadyWeights(const Perceptron& net, kernels::Precision precision)
      : memory(kernels::current().mlp_prepared_size(net.shape)), products(precision, memory.data()) {
    kernels::current().mlp_prepare(net.shape, net.params.data(), precision, memory.data());
  }
};

// The perceptron of the cases mlp_forward/..., MFPO's actor trunk for HalfCheetah, and that of chain/....
Perceptron mlp_of_cases(const Data& data);
Perceptron chain_of_cases(const Data& data);
// "mlp_forward", {1, 32} -> mlp_forward/1, mlp_forward/32
std::vector<std::string> with_rows(const std::string& kernel, const std::vector<int64_t>& rows);
inline const std::vector<int64_t> mlp_rows = {1, 32, 64, 256, 1024, 4096, 12288},
                                  chain_rows = {32, 64, 256, 4096, 12288};

}  // namespace meander::bench
