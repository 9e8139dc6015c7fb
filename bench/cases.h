#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bench/perceptron.h"
#include "bench/timing.h"

namespace meander::bench {

// Something to time: `run`, which leaves its result where it was, so that calls can be repeated.
struct Case {
  double flop = 0;   // of one call: multiply-adds x 2 of the products as the algorithm states them, nothing shared
  double bytes = 0;  // read and written once each, at least: arguments, results and parameters
  int calls = 1;     // that a run makes
  std::function<void()> run = {};
  std::function<void()> wait = {};     // until what runs have queued is done; empty: a run returns when it is
  std::function<double()> check = {};  // mean absolute value of the result, the same for all peers; empty: none
  std::function<std::vector<std::vector<float>>()> results = {};  // to be compared with float64; empty: `check` is
};

// Meander's cases, in the order of the tables: whole updates, acting, the kernels.
std::vector<std::string> case_names();
// Those of them with products that may round their factors: passes without gradient.
std::vector<std::string> rounded_case_names();
// Those that run on other devices too (device_cases.h).
std::vector<std::string> portable_case_names();
// Prepares one on the current device: memory, data. Throws Error if there is none of that name, or none in that
// precision or there.
Case make_case(const std::string& name, const Data& data, kernels::Precision = kernels::Precision::float32);

}  // namespace meander::bench
