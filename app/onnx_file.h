#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace meander {

// A message of protobuf's wire format: fields, each a number and a value, one after the other.
class ProtobufMessage {
 public:
  ProtobufMessage& integer(int field, int64_t value);
  ProtobufMessage& number(int field, float value);
  ProtobufMessage& bytes(int field, std::string_view value);   // a string, bytes, or a message within
  ProtobufMessage& message(int field, const ProtobufMessage& value) { return bytes(field, value.bytes_); }
  const std::string& bytes() const { return bytes_; }

 private:
  void varint(uint64_t value);
  void tag(int field, int wire_type) { varint(static_cast<uint64_t>(field) << 3 | static_cast<uint64_t>(wire_type)); }
  std::string bytes_;
};

// A model in the format of ONNX (onnx.ai): one graph of operators of opset 17, put together from its inputs on. Values
// are float32 tensors and known by name; each node has one output, whose name it bears itself.
class OnnxModel {
 public:
  using Shape = std::vector<int64_t>;                                  // {}: a scalar
  using Attributes = std::vector<std::pair<std::string, std::variant<int64_t, float>>>;
  static constexpr int64_t opset = 17, ir_version = 8;                 // which came with ONNX 1.12

  // Each returns the name it was given, for the nodes that take the value.
  std::string input(const std::string& name, const Shape& shape);
  std::string constant(const std::string& name, const Shape& shape, std::span<const float> numbers);
  std::string node(const std::string& operation, const std::vector<std::string>& inputs, const std::string& name,
                   const Attributes& attributes = {});
  void output(const std::string& name, const Shape& shape);
  void metadata(std::string_view key, std::string_view value);         // each key once

  // The file of a graph of that name. Throws Error if it is larger than the 2 GB that protobuf allows.
  std::string file(const std::string& graph_name, const std::string& producer_version) const;

 private:
  ProtobufMessage graph_, metadata_;
};

}  // namespace meander
