#include "bench/mlp_cases.h"

#include <cmath>
#include <numeric>
#include <optional>

#include <meander/core/memory_available.h>
#include <meander/core/operations.h>
#include <meander/kernels/device.h>
#include <meander/kernels/error.h>

namespace meander::bench {
namespace {

using kernels::current;
using kernels::MlpShape;

// ---- the numbers ----------------------------------------------------------------------------------------------------

// One after the other, as the files and the frameworks have them: weight_0, bias_0, scale_0, shift_0, weight_1, ...
template <class F>
void each_parameter(const MlpShape& shape, F&& visit) {
  for (int l = 0; l < shape.layers; ++l) {
    const int64_t in = shape.width[l], out = shape.width[l + 1];
    const bool normed = shape.norm != kernels::Norm::none && l + 1 < shape.layers;
    const std::string index = "_" + std::to_string(l);
    visit("weight" + index, std::vector<int64_t>{in, out}, shape.weight[l], in * out);
    visit("bias" + index, std::vector<int64_t>{out}, shape.bias[l], out);
    if (!normed) continue;
    visit("scale" + index, std::vector<int64_t>{out}, shape.scale[l], out);
    visit("shift" + index, std::vector<int64_t>{out}, shape.shift[l], out);
  }
}

template <class T>
std::vector<std::vector<T>> parameter_arrays(const MlpShape& shape, const std::vector<T>& flat) {
  std::vector<std::vector<T>> all;
  each_parameter(shape, [&](const std::string&, const std::vector<int64_t>&, int64_t offset, int64_t size) {
    all.emplace_back(flat.begin() + offset, flat.begin() + offset + size);
  });
  return all;
}

bool sums_over_rows(const std::string& pass) {
  return pass == "backward" || pass == "jvp+backward" || pass == "hvp";
}

// ---- the library's --------------------------------------------------------------------------------------------------
struct Pass {
  MlpDescription d;
  Perceptron net;
  std::optional<ReadyWeights> ready;   // of passes without gradient
  Buffer x, dx, c, v, own, y, dy, dinput, gradient, tape, workspace, chosen, index;

  Pass(const MlpDescription& description, const Data& data)
      : d(description), net(perceptron_of(d, data)) {
    const int64_t in = d.widths.front(), out = d.widths.back(), rows = d.rows;
    const bool all_inputs = d.pass != "candidates";
    x = data.normals("net.x", rows * (all_inputs ? in : in - d.own()));
    y = Buffer(rows * out * (all_inputs ? 1 : mlp_candidates));
    workspace = Buffer(current().mlp_workspace(net.shape, rows * (all_inputs ? 1 : mlp_candidates)));
    if (d.pass == "forward" || d.pass == "candidates") ready.emplace(net, d.precision);
    if (d.pass == "candidates") {
      own = data.normals("net.own", rows * mlp_candidates * d.own());
      chosen = Buffer(rows), index = Buffer(rows);
    }
    if (d.pass.starts_with("jvp")) dx = data.normals("net.dx", rows * in), dy = Buffer(rows * out);
    if (sums_over_rows(d.pass)) gradient = Buffer(net.params.size());
    if (sums_over_rows(d.pass) || d.pass == "input-gradient") {
      c = data.normals("net.c", rows * out);
      tape = Buffer(current().mlp_tape_size(net.shape, rows));
    }
    if (d.pass == "input-gradient") dinput = Buffer(rows * in);
    if (d.pass == "hvp") v = std::move(perceptron_of(d, data, "dnet").params);
  }

  void forward(float* kept) {
    current().mlp_forward(net.shape, net.params.data(), d.rows, x.data(), y.data(), kept, workspace.data(),
                          ready ? ready->products : kernels::MlpProducts());
  }
  void value_and_tangent() {
    current().mlp_value_and_tangent(net.shape, net.params.data(), d.rows, x.data(), d.rows, dx.data(), y.data(),
                                    dy.data(), tape.data(), workspace.data());
  }
  void backward() {
    if (gradient.size()) current().fill_value(gradient.size(), 0, gradient.data());   // the kernel adds
    current().mlp_backward(net.shape, net.params.data(), d.rows, x.data(), tape.data(), c.data(), dinput.data(),
                           gradient.data(), workspace.data());
  }
  void hessian_vector_product() {
    ArenaScope scope;
    const Value input = view(x.data(), d.rows, d.widths.front()), cotangent = view(c.data(), d.rows, d.widths.back());
    const auto gradient_at = [&](Value params) {
      return grad([&](Value params) { return sum_all(mlp(net.shape, params, input) * cotangent); }, params);
    };
    const Value product = jvp(gradient_at, {net.params.tensor()}, {v.tensor()}).second;
    if (product) assign(gradient.tensor(), product.detached);   // absent: of a linear network it is zero
  }
  void candidates() {
    const int64_t cols = mlp_candidates * d.widths.back();
    int32_t* const best = reinterpret_cast<int32_t*>(index.data());
    current().mlp_forward_shared(net.shape, net.params.data(), d.rows * mlp_candidates, d.own(), own.data(),
                                 mlp_candidates, x.data(), false, y.data(), workspace.data(), ready->products);
    current().argmax_row(d.rows, cols, 0, y.data(), best);
    current().gather_row(d.rows, cols, y.data(), best, chosen.data());
  }

  void run() {
    if (d.pass == "forward") return forward(nullptr);
    if (d.pass == "jvp") return value_and_tangent();
    if (d.pass == "hvp") return hessian_vector_product();
    if (d.pass == "candidates") return candidates();
    if (d.pass == "jvp+backward") value_and_tangent();
    else forward(tape.data());
    backward();
  }
  std::vector<std::vector<float>> results() const {
    if (d.pass == "forward") return {y.numbers()};
    if (d.pass == "jvp") return {y.numbers(), dy.numbers()};
    if (d.pass == "input-gradient") return {dinput.numbers()};
    if (d.pass == "candidates") return {chosen.numbers()};
    std::vector<std::vector<float>> all;
    if (d.pass == "jvp+backward") all = {y.numbers(), dy.numbers()};
    for (auto& array : parameter_arrays(net.shape, gradient.numbers())) all.push_back(std::move(array));
    return all;
  }
};

// ---- the composites -------------------------------------------------------------------------------------------------
struct Numbers {
  std::vector<float> params, x, dx, c, v, own;
};

template <class T>
Tensor as_tensor(const float* numbers, int64_t rows, int64_t cols) {
  const Tensor t = empty(rows, cols, dtype_of<T>);
  std::copy_n(numbers, rows * cols, t.as<T>());
  return t;
}

// The pass for rows [first, first + rows), by composites alone.
template <class T>
std::vector<Tensor> composite(const MlpDescription& d, const MlpShape& shape, Tensor parameters, const Numbers& n,
                              int64_t first, int64_t rows) {
  const int64_t in = d.widths.front(), out = d.widths.back(), own = d.own();
  const auto network = [&](Value params, Value x) { return mlp_composite(shape, params, x); };
  const Value params = parameters;
  if (d.pass == "candidates") {
    const int64_t shared = in - own;
    const Tensor x = empty(rows * mlp_candidates, in, dtype_of<T>);
    for (int64_t i = 0; i < x.rows; ++i) {
      std::copy_n(n.x.data() + (first + i / mlp_candidates) * shared, shared, x.as<T>() + i * in);
      std::copy_n(n.own.data() + (first * mlp_candidates + i) * own, own, x.as<T>() + i * in + shared);
    }
    const Tensor y = network(params, x).detached;
    const Tensor largest = empty(rows, 1, dtype_of<T>);
    for (int64_t i = 0, each = mlp_candidates * out; i < rows; ++i)
      largest.as<T>()[i] = *std::max_element(y.as<T>() + i * each, y.as<T>() + (i + 1) * each);
    return {largest};
  }
  const auto matrix = [&](const std::vector<float>& all, int64_t cols) -> Value {
    return as_tensor<T>(all.data() + first * cols, rows, cols);
  };
  const Value x = matrix(n.x, in);
  if (d.pass == "forward") return {network(params, x).detached};
  std::vector<Tensor> results;
  if (d.pass.starts_with("jvp")) {
    const auto [y, dy] = jvp([&](Value x) { return network(params, x); }, {x}, {matrix(n.dx, in)});
    results = {y.detached, dy.detached};
    if (d.pass == "jvp") return results;
  }
  const Value c = matrix(n.c, out);
  if (d.pass == "input-gradient")
    return {grad([&](Value x) { return sum_all(network(params, x) * c); }, x).detached};
  const auto gradient = [&](Value params) {
    return grad([&](Value params) { return sum_all(network(params, x) * c); }, params);
  };
  if (d.pass == "hvp") {
    const Value product = jvp(gradient, {params}, {as_tensor<T>(n.v.data(), 1, std::ssize(n.v))}).second;
    return {product ? product.detached : zeros(1, std::ssize(n.v), dtype_of<T>)};
  }
  results.push_back(gradient(params).detached);
  return results;
}

// All rows, in pieces that need little memory; sums over the rows are added up in float64.
template <class T>
std::vector<std::vector<double>> all_rows(const MlpDescription& d, const MlpShape& shape, const Numbers& n) {
  const int64_t piece = d.pass == "candidates" ? 8 : 256;
  std::vector<std::vector<double>> all;
  for (int64_t first = 0; first < d.rows; first += piece) {
    ArenaScope scope;
    const Tensor params = as_tensor<T>(n.params.data(), 1, std::ssize(n.params));
    const std::vector<Tensor> part = composite<T>(d, shape, params, n, first, std::min(piece, d.rows - first));
    all.resize(part.size());
    for (size_t i = 0; i < part.size(); ++i) {
      const T* const numbers = part[i].template as<T>();
      const bool summed = sums_over_rows(d.pass) && i + 1 == part.size();
      if (!summed) all[i].insert(all[i].end(), numbers, numbers + part[i].size());
      if (!summed) continue;
      all[i].resize(static_cast<size_t>(part[i].size()));
      for (size_t j = 0; j < all[i].size(); ++j) all[i][j] += numbers[j];
    }
  }
  if (sums_over_rows(d.pass)) {
    const std::vector<double> flat = std::move(all.back());
    all.pop_back();
    for (auto& array : parameter_arrays(shape, flat)) all.push_back(std::move(array));
  }
  return all;
}

// Floats that the numbers and the results take, roughly, beside what a framework needs for itself.
double numbers_of(const MlpDescription& d) {
  int64_t widest = 0;
  for (const int64_t width : d.widths) widest = std::max(widest, width);
  const double rows = double(d.rows) * (d.pass == "candidates" ? mlp_candidates : 1);
  return 4 * d.bytes() / 4 + 4 * rows * double(widest) * double(d.widths.size());
}

}  // namespace

Perceptron perceptron_of(const MlpDescription& d, const Data& data, const std::string& prefix) {
  Perceptron net(data, prefix, d.widths, d.norm);
  net.shape.activation = d.activation;
  return net;
}

Case make_mlp_case(const MlpDescription& d, const Data& data) {
  if (4 * numbers_of(d) > double(memory_available())) throw Error("not enough memory for this network and these rows");
  const auto pass = std::make_shared<Pass>(d, data);
  return {.flop = d.flop(),
          .bytes = d.bytes(),
          .run = [pass] { pass->run(); },
          .results = [pass] { return pass->results(); }};
}

double write_mlp_data(const std::string& path, const MlpDescription& d) {
  if (8 * numbers_of(d) > double(memory_available())) throw Error("not enough memory for this network and these rows");
  const Data drawn;
  const int64_t in = d.widths.front(), out = d.widths.back(), rows = d.rows;
  const Perceptron net = perceptron_of(d, drawn);
  const auto draw = [&](const char* name, int64_t size) { return drawn.values(name, size, Data::normal()); };
  Numbers n;
  n.params = net.params.numbers();
  SafetensorsWriter file;
  const auto add_parameters = [&](const std::string& prefix, const std::vector<float>& flat) {
    each_parameter(net.shape, [&](const std::string& name, const std::vector<int64_t>& shape, int64_t offset, int64_t) {
      file.add(prefix + name, shape, flat.data() + offset);
    });
  };
  add_parameters("net.", n.params);
  const bool candidates = d.pass == "candidates";
  n.x = draw("net.x", rows * (candidates ? in - d.own() : in));
  file.add("net.x", {rows, candidates ? in - d.own() : in}, n.x.data());
  if (candidates) {
    n.own = draw("net.own", rows * mlp_candidates * d.own());
    file.add("net.own", {rows * mlp_candidates, d.own()}, n.own.data());
  }
  if (d.pass.starts_with("jvp")) {
    n.dx = draw("net.dx", rows * in);
    file.add("net.dx", {rows, in}, n.dx.data());
  }
  if (sums_over_rows(d.pass) || d.pass == "input-gradient") {
    n.c = draw("net.c", rows * out);
    file.add("net.c", {rows, out}, n.c.data());
  }
  if (d.pass == "hvp") {
    n.v = perceptron_of(d, drawn, "dnet").params.numbers();
    add_parameters("dnet.", n.v);
  }
  const auto expected = all_rows<double>(d, net.shape, n);
  std::vector<std::vector<float>> plain;
  for (const auto& array : all_rows<float>(d, net.shape, n)) plain.emplace_back(array.begin(), array.end());
  for (size_t i = 0; i < expected.size(); ++i)
    file.add("expected." + std::to_string(i), {std::ssize(expected[i])}, expected[i].data());
  file.write(path);
  return error_of(plain, expected);
}

double error_of(const std::vector<std::vector<float>>& results, const std::vector<std::vector<double>>& expected) {
  if (results.size() != expected.size()) return INFINITY;
  double worst = 0;
  for (size_t i = 0; i < results.size(); ++i) {
    if (results[i].size() != expected[i].size()) return INFINITY;
    double difference = 0, size = 0;
    for (size_t j = 0; j < results[i].size(); ++j) {
      difference += (results[i][j] - expected[i][j]) * (results[i][j] - expected[i][j]);
      size += expected[i][j] * expected[i][j];
    }
    const double error = difference == 0 ? 0 : std::sqrt(difference / size);   // infinite if nothing was expected
    if (!(error <= worst)) worst = std::isnan(error) ? INFINITY : error;
  }
  return worst;
}

std::vector<std::vector<double>> expected_of(const Data& data) {
  std::vector<std::vector<double>> all;
  for (int i = 0; data.file() && data.file()->contains("expected." + std::to_string(i)); ++i) {
    const auto values = data.file()->values<double>("expected." + std::to_string(i));
    all.emplace_back(values.begin(), values.end());
  }
  return all;
}

}  // namespace meander::bench
