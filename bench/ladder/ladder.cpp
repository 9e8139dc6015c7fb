// One layer with norm and GELU in steps from three plain loops to today's kernel, on one thread: docs/ladder.md.
//
//   bench_ladder [--rows N] [--rounds N] [--json FILE]      256 rows, 5 rounds, no file if not said
#include <charconv>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "bench/ladder/layer.h"
#include "bench/machine.h"
#include "bench/perceptron.h"
#include <meander/kernels/error.h>
#include <meander/kernels/threads.h>

using namespace meander;
using namespace meander::bench;

namespace {

constexpr int64_t width = 256;

struct Options {
  int64_t rows = 256, rounds = 5;
  std::string json;
};

Options read_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string option = argv[i], value = i + 1 < argc ? argv[i + 1] : "";
    int64_t* const number = option == "--rows" ? &options.rows : option == "--rounds" ? &options.rounds : nullptr;
    if (number) {
      const char* const end = value.data() + value.size();
      if (std::from_chars(value.data(), end, *number).ptr != end || *number < 1 || *number > 100'000)
        throw Error(message(option, " wants a number from 1 to 100000, got '", value, "'"));
    } else if (option == "--json" && !value.empty()) {
      options.json = value;
    } else {
      throw Error("usage: bench ladder [--rows N] [--rounds N] [--json FILE]");
    }
  }
  return options;
}

struct Step {
  const char* name;
  std::function<void()> run;
  std::function<double()> deviation;   // of its result from the first step's, relative in the Euclidean norm
  std::vector<double> times = {};
};

double deviation(const float* got, const std::vector<float>& expected) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    difference += std::pow(double(got[i]) - expected[i], 2);
    size += std::pow(double(expected[i]), 2);
  }
  return std::sqrt(difference / size);
}

// The layer, and a network that is this layer and one output: today's kernels know whole networks only.
struct State {
  Perceptron net;
  ReadyWeights ready{net, kernels::Precision::float32};
  Buffer x, y, z, packed{width * width}, output, workspace;
  std::vector<float> expected, expected_output;

  explicit State(int64_t rows)
      : net(Data(), "ladder", {width, width, 1}), x(Data().normals("ladder.x", rows * width)), y(rows * width),
        z(rows * width), output(rows), workspace(kernels::mlp_workspace(net.shape, rows)) {
    ladder::pack_weights(layer(), packed.data());
  }

  ladder::Layer layer() {
    const float* const p = net.params.data();
    return {output.size(), width, width, x.data(), p + net.shape.weight[0], p + net.shape.bias[0],
            p + net.shape.scale[0], p + net.shape.shift[0], packed.data(), y.data(), z.data()};
  }
  // What the steps are held against.
  void expect() {
    ladder::plain_loops(layer());
    expected = y.numbers();
    const float* const weight = net.params.data() + net.shape.weight[1];
    for (int64_t i = 0; i < output.size(); ++i) {
      double sum = net.params.data()[net.shape.bias[1]];
      for (int64_t j = 0; j < width; ++j) sum += double(y.data()[i * width + j]) * weight[j];
      expected_output.push_back(static_cast<float>(sum));
    }
  }
};

std::vector<Step> steps_of(State& s) {
  const auto step = [&](const char* name, void (*run)(const ladder::Layer&)) {
    return Step{name, [&s, run] { run(s.layer()); }, [&s] { return deviation(s.y.data(), s.expected); }};
  };
  return {step("three plain loops", ladder::plain_loops),
          step("weights by rows", ladder::weights_by_rows),
          step("wide vectors", ladder::wide_vectors),
          step("own exponential", ladder::own_exponential),
          step("a tile of sums", ladder::small_tile),
          step("all registers", ladder::full_tile),
          step("packed weights", ladder::packed_weights),
          step("while in cache", ladder::while_in_cache),
          {"today's kernel",
           [&s] {
             kernels::mlp_forward(s.net.shape, s.net.params.data(), s.output.size(), s.x.data(), s.output.data(),
                                  nullptr, s.workspace.data(), s.ready.products);
           },
           [&s] { return deviation(s.output.data(), s.expected_output); }}};
}

constexpr double allowed = 1e-5;   // float32 sums of 256 products in another order, through norm and activation

}  // namespace

int main(int argc, char** argv) {
  try {
    const Options options = read_options(argc, argv);
    std::ofstream file;
    if (!options.json.empty()) {
      file.open(options.json);
      if (!file) throw Error(message("cannot write ", options.json));
    }
    kernels::set_threads(1);
    State state(options.rows);
    state.expect();
    std::vector<Step> steps = steps_of(state);
    const double peak = measure_peaks().fma, flop = 2.0 * double(options.rows) * width * width;
    bool good = true;
    for (Step& step : steps) {
      std::fill_n(state.y.data(), state.y.size(), NAN);
      step.run();
      if (!(step.deviation() <= allowed)) {
        good = false;
        std::printf("%s: its result is off by %.1e of its size\n", step.name, step.deviation());
      }
    }
    for (int64_t visit = 0; visit < 2 * options.rounds; ++visit)
      for (size_t i = 0; i < steps.size(); ++i) {
        Step& step = steps[visit % 2 ? steps.size() - 1 - i : i];
        for (const double us : time_samples(step.run, 3, 0.01)) step.times.push_back(us);
      }
    std::printf("%lld rows of %lld to %lld, LayerNorm, GELU; one thread, multiply-add peak %.1f GFLOP/s\n",
                static_cast<long long>(options.rows), static_cast<long long>(width), static_cast<long long>(width),
                1e-9 * peak);
    std::printf("%-20s%12s%24s%10s%10s%8s%11s\n", "step", "us", "10 to 90 %", "GFLOP/s", "of peak", "x", "deviation");
    nlohmann::json rows;
    const double first = quantile(steps.front().times, 0.5);
    for (const Step& step : steps) {
      const double us = quantile(step.times, 0.5), rate = 1e6 * flop / us;
      char spread[40];
      std::snprintf(spread, sizeof spread, "%.1f to %.1f", quantile(step.times, 0.1), quantile(step.times, 0.9));
      step.run();
      std::printf("%-20s%12.1f%24s%10.1f%9.1f%%%8.1f%11.1e\n", step.name, us, spread, 1e-9 * rate, 100 * rate / peak,
                  first / us, step.deviation());
      rows.push_back({{"step", step.name}, {"median_us", us}, {"p10_us", quantile(step.times, 0.1)},
                      {"p90_us", quantile(step.times, 0.9)}, {"gflops", 1e-9 * rate},
                      {"share_of_peak", rate / peak}, {"deviation", step.deviation()}});
    }
    if (file.is_open()) file << nlohmann::json{{"rows", rows}, {"fma_gflops", 1e-9 * peak}}.dump(1) << "\n";
    return good ? 0 : 1;
  } catch (const Error& error) {
    std::cerr << argv[0] << ": " << error.what() << "\n";
    return 2;
  }
}
