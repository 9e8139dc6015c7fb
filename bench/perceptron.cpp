#include "bench/perceptron.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace meander::bench {

using kernels::Norm;

Perceptron::Perceptron(const Data& data, const std::string& prefix, const std::vector<int64_t>& widths, Norm norm) {
  shape.layers = static_cast<int>(widths.size()) - 1;
  shape.norm = norm;
  std::copy(widths.begin(), widths.end(), shape.width);
  int64_t size = 0;
  const auto place = [&](int64_t count) { return std::exchange(size, size + count); };
  for (int l = 0; l < shape.layers; ++l) {
    const int64_t out = shape.width[l + 1];
    shape.weight[l] = place(shape.width[l] * out);
    shape.bias[l] = place(out);
    if (norm == Norm::none || l + 1 == shape.layers) continue;
    shape.scale[l] = place(out);
    shape.shift[l] = place(out);
  }
  std::vector<float> numbers(static_cast<size_t>(size));
  const auto fill = [&](const char* name, int layer, int64_t offset, int64_t count, double deviation, double mean) {
    const std::string full = prefix + "." + name + "_" + std::to_string(layer);
    std::ranges::copy(data.values(full, count, Data::normal(deviation, mean)), numbers.data() + offset);
  };
  for (int l = 0; l < shape.layers; ++l) {
    const int64_t in = shape.width[l], out = shape.width[l + 1];
    fill("weight", l, shape.weight[l], in * out, 1 / std::sqrt(double(in)), 0);
    fill("bias", l, shape.bias[l], out, 0.1, 0);
    if (norm == Norm::none || l + 1 == shape.layers) continue;
    fill("scale", l, shape.scale[l], out, 0.1, 1);
    fill("shift", l, shape.shift[l], out, 0.1, 0);
  }
  params = Buffer(numbers);
}

double Perceptron::flop(int64_t rows) const {
  double sum = 0;
  for (int l = 0; l < shape.layers; ++l) sum += 2.0 * double(shape.width[l] * shape.width[l + 1]) * double(rows);
  return sum;
}

double Perceptron::bytes(int64_t rows) const {
  return 4.0 * double(params.size() + rows * (shape.width[0] + shape.width[shape.layers]));
}

Perceptron mlp_of_cases(const Data& data) { return {data, "mlp", {87, 256, 256, 256, 6}}; }
Perceptron chain_of_cases(const Data& data) { return {data, "chain", {256, 256, 256, 256, 16}}; }

std::vector<std::string> with_rows(const std::string& kernel, const std::vector<int64_t>& rows) {
  std::vector<std::string> names;
  for (const int64_t n : rows) names.push_back(kernel + "/" + std::to_string(n));
  return names;
}

}  // namespace meander::bench
