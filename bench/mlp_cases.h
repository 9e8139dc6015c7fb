#pragma once

#include "bench/cases.h"
#include "bench/mlp_description.h"

namespace meander::bench {

// The pass of a description on the current device, by the functions of the library that networks use: those of
// kernels/mlp.h, and for a Hessian-vector product jvp of grad of mlp (core/operations.h). Its numbers are those of
// write_mlp_data, or of the same names.
Case make_mlp_case(const MlpDescription&, const Data&);

// The perceptron of a description, its parameters net.weight_0, ... of the data; or with the prefix dnet a direction of
// them.
Perceptron perceptron_of(const MlpDescription&, const Data&, const std::string& prefix = "net");

// Writes the numbers of a description to a safetensors file: parameters, inputs, directions and cotangents, and as
// expected.0, ... the results in float64 by the composites of core/, by which the derivatives of parameters are one
// array each, in the order weight_0, bias_0, scale_0, shift_0, weight_1. Returns the largest error_of those of plain
// float32 arithmetic. Throws Error if memory would not do, Failure if the file cannot be written.
double write_mlp_data(const std::string& path, const MlpDescription&);

// |result - expected| / |expected| in the Euclidean norm, the largest of all arrays; infinite if their sizes differ or
// a number is not finite.
double error_of(const std::vector<std::vector<float>>& results, const std::vector<std::vector<double>>& expected);
// expected.0, ... of a file that write_mlp_data wrote.
std::vector<std::vector<double>> expected_of(const Data&);

}  // namespace meander::bench
