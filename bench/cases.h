#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/data.h"
#include "kernels/mlp.h"

namespace meander::bench {

// Something to time: one call of `run`, which leaves its result where it was, so that calls can be repeated.
struct Case {
  double flop = 0;   // of one call: multiply-adds x 2 of the products as the algorithm states them, nothing shared
  double bytes = 0;  // read and written once each, at least: arguments, results and parameters
  std::function<void()> run = {};
  std::function<double()> check = {};  // mean absolute value of the result, the same for all peers; empty: none
};

// Meander's cases, in the order of the tables: whole updates, acting, the kernels.
std::vector<std::string> case_names();
// Those of them with products that may round their factors to bfloat16: passes without gradient.
std::vector<std::string> bfloat16_case_names();
// Prepares one: memory, data. Throws Error if there is none of that name, or none in that precision.
Case make_case(const std::string& name, const Data& data, kernels::Precision = kernels::Precision::float32);

// Microseconds of one call, `samples` times; each sample repeats the call until it has taken `seconds` (0: one call).
std::vector<double> time_samples(const std::function<void()>& run, int samples, double seconds);
// The value below which the share q of them lies.
double quantile(std::vector<double> values, double q);

// A multi-layer perceptron whose parameters are PREFIX.weight_0, bias_0, scale_0, shift_0, ... of the data.
struct Perceptron {
  kernels::MlpShape shape;
  Buffer params;
  Perceptron(const Data& data, const std::string& prefix, const std::vector<int64_t>& widths,
             kernels::Norm norm = kernels::Norm::before_activation);

  double flop(int64_t rows) const;   // of one forward pass
  double bytes(int64_t rows) const;  // parameters, inputs and outputs
};
// The perceptron of the cases mlp_forward/..., MFPO's actor trunk for HalfCheetah, and that of chain/....
Perceptron mlp_of_cases(const Data& data);
Perceptron chain_of_cases(const Data& data);
// "mlp_forward", {1, 32} -> mlp_forward/1, mlp_forward/32
std::vector<std::string> with_rows(const std::string& kernel, const std::vector<int64_t>& rows);
inline const std::vector<int64_t> mlp_rows = {1, 32, 64, 256, 4096, 12288}, chain_rows = {32, 64, 256, 4096, 12288};

double mean_absolute(const float* x, int64_t n);

}  // namespace meander::bench
