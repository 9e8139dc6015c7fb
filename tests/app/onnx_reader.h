#pragma once

// Reads ONNX files back and computes their graphs in double, by the definitions of the format and its operators alone:
// as much of both as policies use, and a failure where one has more.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

namespace meander::onnx {

// ---- protobuf -------------------------------------------------------------------------------------------------------
struct Field {
  int number;
  uint64_t integer = 0;           // of a varint, or the bits of four bytes
  std::string_view bytes = {};    // of everything else

  int64_t whole() const { return static_cast<int64_t>(integer); }
  float real() const {
    float x;
    std::memcpy(&x, &integer, sizeof x);
    return x;
  }
  std::string text() const { return std::string(bytes); }
};

inline std::vector<Field> fields(std::string_view message) {
  std::vector<Field> all;
  size_t at = 0;
  const auto varint = [&] {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      REQUIRE(at < message.size());
      REQUIRE(shift < 70);
      const auto byte = static_cast<unsigned char>(message[at++]);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.size()) {
    const uint64_t tag = varint();
    Field field{.number = static_cast<int>(tag >> 3)};
    if (tag % 8 == 0) {
      field.integer = varint();
    } else if (tag % 8 == 2) {
      const uint64_t size = varint();
      REQUIRE(size <= message.size() - at);
      field.bytes = message.substr(at, size);
      at += size;
    } else {
      REQUIRE(tag % 8 == 5);
      REQUIRE(message.size() - at >= 4);
      std::memcpy(&field.integer, message.data() + at, 4);
      at += 4;
    }
    all.push_back(field);
  }
  return all;
}

// Those of a message of the format: of numbers in `known` alone, and each of `needed` at least once.
inline std::vector<Field> fields(std::string_view message, const std::vector<int>& known,
                                 const std::vector<int>& needed) {
  const std::vector<Field> all = fields(message);
  for (const Field& field : all) CHECK(std::ranges::find(known, field.number) != known.end());
  for (const int number : needed) CHECK(std::ranges::find(all, number, &Field::number) != all.end());
  return all;
}

// ---- the file -------------------------------------------------------------------------------------------------------
using Shape = std::vector<int64_t>;

inline int64_t count(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

struct Array {
  Shape shape;
  std::vector<double> numbers;
  int64_t cols() const { return shape.empty() ? 1 : shape.back(); }
  int64_t rows() const { return cols() ? std::ssize(numbers) / cols() : 0; }
};
using Arrays = std::map<std::string, Array>;

struct Node {
  std::string name, operation;
  std::vector<std::string> inputs, outputs;
  std::map<std::string, double> attributes;
  double attribute(const std::string& key, double otherwise) const {
    return attributes.contains(key) ? attributes.at(key) : otherwise;
  }
};

struct File {
  int64_t ir_version = 0;
  std::vector<int64_t> opsets;
  std::string producer, graph;
  std::vector<std::pair<std::string, std::string>> metadata;
  std::vector<std::pair<std::string, Shape>> inputs, outputs;
  Arrays constants;
  std::vector<Node> nodes;
  bool has(const std::string& operation) const {
    return std::ranges::any_of(nodes, [&](const Node& node) { return node.operation == operation; });
  }
};

inline std::pair<std::string, Shape> read_value(std::string_view message) {
  std::pair<std::string, Shape> value;
  for (const Field& field : fields(message, {1, 2}, {1, 2})) {
    if (field.number == 1) value.first = field.text();
    if (field.number != 2) continue;
    for (const Field& type : fields(field.bytes, {1}, {1})) {   // a tensor
      for (const Field& part : fields(type.bytes, {1, 2}, {1, 2})) {
        if (part.number == 1) CHECK(part.whole() == 1);   // of float32
        if (part.number != 2) continue;
        for (const Field& dim : fields(part.bytes))
          for (const Field& size : fields(dim.bytes, {1}, {1}))   // a number, not a symbol
            value.second.push_back(size.whole());
      }
    }
  }
  return value;
}

inline std::pair<std::string, Array> read_tensor(std::string_view message) {
  std::string name;
  Array array;
  for (const Field& field : fields(message, {1, 2, 8, 9}, {2, 8, 9})) {
    if (field.number == 1) array.shape.push_back(field.whole());
    if (field.number == 2) CHECK(field.whole() == 1);   // float32
    if (field.number == 8) name = field.text();
    if (field.number != 9) continue;
    std::vector<float> numbers(field.bytes.size() / sizeof(float));
    std::memcpy(numbers.data(), field.bytes.data(), numbers.size() * sizeof(float));
    array.numbers.assign(numbers.begin(), numbers.end());
  }
  CHECK_MESSAGE(count(array.shape) == std::ssize(array.numbers), name);
  return {name, array};
}

inline Node read_node(std::string_view message) {
  Node node;
  for (const Field& field : fields(message, {1, 2, 3, 4, 5}, {1, 2, 3, 4})) {   // of no other domain than ONNX's own
    if (field.number == 1) node.inputs.push_back(field.text());
    if (field.number == 2) node.outputs.push_back(field.text());
    if (field.number == 3) node.name = field.text();
    if (field.number == 4) node.operation = field.text();
    if (field.number != 5) continue;
    std::string key;
    double value = 0;
    int64_t set = 0, type = 0;
    for (const Field& part : fields(field.bytes, {1, 2, 3, 20}, {1, 20})) {
      if (part.number == 1) key = part.text();
      if (part.number == 2) value = double(part.real()), set = 1;
      if (part.number == 3) value = double(part.whole()), set = 2;
      if (part.number == 20) type = part.whole();
    }
    CHECK(set == type);
    node.attributes[key] = value;
  }
  return node;
}

inline File read(std::string_view bytes) {
  File file;
  for (const Field& field : fields(bytes, {1, 2, 3, 7, 8, 14}, {1, 2, 3, 7, 8})) {
    if (field.number == 1) file.ir_version = field.whole();
    if (field.number == 2) file.producer = field.text();
    if (field.number == 8)
      for (const Field& part : fields(field.bytes, {2}, {2})) file.opsets.push_back(part.whole());
    if (field.number == 14) {
      const auto pair = fields(field.bytes, {1, 2}, {1, 2});
      file.metadata.emplace_back(pair[0].text(), pair[1].text());
    }
    if (field.number != 7) continue;
    for (const Field& part : fields(field.bytes, {1, 2, 5, 11, 12}, {1, 2, 5, 11, 12})) {
      if (part.number == 1) file.nodes.push_back(read_node(part.bytes));
      if (part.number == 2) file.graph = part.text();
      if (part.number == 5) {
        const auto constant = read_tensor(part.bytes);
        CHECK_MESSAGE(file.constants.insert(constant).second, constant.first);
      }
      if (part.number == 11) file.inputs.push_back(read_value(part.bytes));
      if (part.number == 12) file.outputs.push_back(read_value(part.bytes));
    }
  }
  return file;
}

// ---- the operators --------------------------------------------------------------------------------------------------
template <class F>
Array map(Array x, F&& f) {
  for (double& number : x.numbers) number = f(number);
  return x;
}

// Numbers of the same places; the smaller array is a scalar or a row that all rows share.
template <class F>
Array zip(const Array& a, const Array& b, F&& f) {
  const bool a_leads = std::pair(a.numbers.size(), a.shape.size()) >= std::pair(b.numbers.size(), b.shape.size());
  const Array& less = a_leads ? b : a;
  Array result = a_leads ? a : b;
  if (less.numbers.size() != 1) REQUIRE(less.cols() == result.cols());
  if (less.numbers.size() != result.numbers.size()) REQUIRE((less.numbers.size() == 1 || less.rows() == 1));
  for (size_t i = 0; i < result.numbers.size(); ++i)
    result.numbers[i] = f(a.numbers[i % a.numbers.size()], b.numbers[i % b.numbers.size()]);
  return result;
}

inline Array product(const Array& a, const Array& b) {
  REQUIRE(a.shape.size() == 2);
  REQUIRE(b.shape.size() == 2);
  REQUIRE(a.cols() == b.rows());
  Array c{{a.rows(), b.cols()}, std::vector<double>(static_cast<size_t>(a.rows() * b.cols()))};
  for (int64_t i = 0; i < a.rows(); ++i)
    for (int64_t j = 0; j < b.cols(); ++j)
      for (int64_t k = 0; k < a.cols(); ++k)
        c.numbers[static_cast<size_t>(i * b.cols() + j)] +=
            a.numbers[static_cast<size_t>(i * a.cols() + k)] * b.numbers[static_cast<size_t>(k * b.cols() + j)];
  return c;
}

template <class F>
Array by_row(Array x, F&& f) {
  for (int64_t i = 0; i < x.rows(); ++i) f(std::span(x.numbers.data() + i * x.cols(), static_cast<size_t>(x.cols())));
  return x;
}

inline Array normalised(const Array& x, double epsilon) {
  return by_row(x, [=](std::span<double> row) {
    double mean = 0, variance = 0;
    for (const double v : row) mean += v / double(row.size());
    for (const double v : row) variance += (v - mean) * (v - mean) / double(row.size());
    for (double& v : row) v = (v - mean) / std::sqrt(variance + epsilon);
  });
}

inline Array softmax(const Array& x) {
  return by_row(x, [](std::span<double> row) {
    const double most = *std::ranges::max_element(row);
    double sum = 0;
    for (double& v : row) sum += v = std::exp(v - most);
    for (double& v : row) v /= sum;
  });
}

// The first of the largest, along the axis, which goes.
inline Array argmax(const Array& x, int64_t axis) {
  REQUIRE(x.shape.size() == 2);
  const int64_t n = x.shape[static_cast<size_t>(axis)], others = x.shape[static_cast<size_t>(1 - axis)];
  Array best{{others}, {}};
  for (int64_t j = 0; j < others; ++j) {
    const auto at = [&](int64_t i) { return x.numbers[static_cast<size_t>(axis ? j * n + i : i * others + j)]; };
    int64_t first = 0;
    for (int64_t i = 1; i < n; ++i)
      if (at(i) > at(first)) first = i;
    best.numbers.push_back(double(first));
  }
  return best;
}

inline Array gathered_rows(const Array& x, const Array& which) {
  REQUIRE(x.shape.size() == 2);
  Array rows{{std::ssize(which.numbers), x.cols()}, {}};
  for (const double i : which.numbers) {
    REQUIRE(i < double(x.rows()));
    const auto from = x.numbers.begin() + static_cast<int64_t>(i) * x.cols();
    rows.numbers.insert(rows.numbers.end(), from, from + x.cols());
  }
  return rows;
}

inline Array compute(const Node& node, const std::vector<Array>& in) {
  const auto expect = [&](size_t inputs, std::initializer_list<const char*> attributes) {
    REQUIRE_MESSAGE(in.size() == inputs, node.name);
    for (const auto& [key, value] : node.attributes)
      REQUIRE_MESSAGE(std::ranges::find(attributes, key) != attributes.end(), node.name << " has " << key);
  };
  const std::string& op = node.operation;
  if (op == "Gemm" || op == "LayerNormalization" || op == "Clip") {
    expect(3, op == "LayerNormalization" ? std::initializer_list<const char*>{"axis", "epsilon"}
                                         : std::initializer_list<const char*>{});
    if (op == "Gemm") return zip(product(in[0], in[1]), in[2], std::plus<>());
    if (op == "Clip")
      return map(in[0], [&](double x) { return std::clamp(x, in[1].numbers.at(0), in[2].numbers.at(0)); });
    CHECK(node.attribute("axis", -1) == -1);
    const Array x = normalised(in[0], node.attribute("epsilon", 1e-5));
    return zip(zip(x, in[1], std::multiplies<>()), in[2], std::plus<>());
  }
  if (op == "Gather") {
    expect(2, {"axis"});
    CHECK(node.attribute("axis", 0) == 0);
    return gathered_rows(in[0], in[1]);
  }
  if (op == "ArgMax") {
    expect(1, {"axis", "keepdims"});
    CHECK(node.attribute("keepdims", 1) == 0);
    return argmax(in[0], static_cast<int64_t>(node.attribute("axis", 0)));
  }
  if (op == "Softmax") {
    expect(1, {"axis"});
    CHECK(node.attribute("axis", -1) == -1);
    return softmax(in[0]);
  }
  if (op == "MatMul" || op == "Add" || op == "Sub" || op == "Mul" || op == "Div" || op == "Pow" || op == "Min" ||
      op == "Mean") {
    expect(2, {});
    if (op == "MatMul") return product(in[0], in[1]);
    return zip(in[0], in[1], [&](double a, double b) {
      return op == "Add" ? a + b : op == "Sub" ? a - b : op == "Mul" ? a * b : op == "Div" ? a / b
             : op == "Pow" ? std::pow(a, b) : op == "Min" ? std::min(a, b) : (a + b) / 2;
    });
  }
  expect(1, {});
  if (op == "Relu") return map(in[0], [](double x) { return std::max(x, 0.0); });
  if (op == "Tanh") return map(in[0], [](double x) { return std::tanh(x); });
  if (op == "Sigmoid") return map(in[0], [](double x) { return 1 / (1 + std::exp(-x)); });
  if (op == "Softplus") return map(in[0], [](double x) { return std::log1p(std::exp(x)); });
  FAIL(node.name << " is of an operator unknown here: " << op);
  return {};
}

// The graph's outputs.
inline Arrays run(const File& file, const Arrays& inputs) {
  Arrays values = file.constants;
  for (const auto& [name, shape] : file.inputs) {
    REQUIRE_MESSAGE(inputs.contains(name), name);
    REQUIRE_MESSAGE(inputs.at(name).shape == shape, name);
    values[name] = inputs.at(name);
  }
  REQUIRE(inputs.size() == file.inputs.size());
  for (const Node& node : file.nodes) {
    std::vector<Array> in;
    for (const std::string& name : node.inputs) {
      REQUIRE_MESSAGE(values.contains(name), node.name << " takes " << name << ", which nothing before it makes");
      in.push_back(values.at(name));
    }
    REQUIRE(node.outputs.size() == 1);
    REQUIRE_MESSAGE(values.emplace(node.outputs[0], compute(node, in)).second, node.outputs[0]);
  }
  Arrays outputs;
  for (const auto& [name, shape] : file.outputs) {
    REQUIRE_MESSAGE(values.contains(name), name);
    CHECK_MESSAGE(values.at(name).shape == shape, name);
    outputs[name] = values.at(name);
  }
  return outputs;
}

}  // namespace meander::onnx
