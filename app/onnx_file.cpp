#include <meander/app/onnx_file.h>

#include <bit>
#include <cstring>

#include <meander/kernels/error.h>

namespace meander {

// ---- protobuf: a field is a tag, its number and how its value is written, and the value -----------------------------
namespace {
enum WireType { varint_value = 0, length_and_bytes = 2, four_bytes = 5 };
}

void ProtobufMessage::varint(uint64_t value) {  // seven bits a byte, the lowest first; the eighth: more follow
  for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
  bytes_ += static_cast<char>(value);
}

ProtobufMessage& ProtobufMessage::integer(int field, int64_t value) {
  tag(field, varint_value);
  varint(static_cast<uint64_t>(value));
  return *this;
}

ProtobufMessage& ProtobufMessage::number(int field, float value) {
  static_assert(std::endian::native == std::endian::little);
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  tag(field, four_bytes);
  bytes_.append(bytes, sizeof bytes);
  return *this;
}

ProtobufMessage& ProtobufMessage::bytes(int field, std::string_view value) {
  tag(field, length_and_bytes);
  varint(value.size());
  bytes_ += value;
  return *this;
}

// ---- the messages of onnx.proto, by their fields' numbers -----------------------------------------------------------
namespace {

namespace model { enum { ir_version = 1, producer_name = 2, producer_version = 3, graph = 7, opset_import = 8,
                         metadata_props = 14 }; }
namespace operator_set { enum { version = 2 }; }
namespace property { enum { key = 1, value = 2 }; }
namespace graph { enum { node = 1, name = 2, initializer = 5, input = 11, output = 12 }; }
namespace node_field { enum { input = 1, output = 2, name = 3, op_type = 4, attribute = 5 }; }
namespace attribute { enum { name = 1, f = 2, i = 3, type = 20 }; enum { is_float = 1, is_int = 2 }; }
namespace tensor { enum { dims = 1, data_type = 2, name = 8, raw_data = 9 }; enum { float32 = 1 }; }
namespace value_info { enum { name = 1, type = 2 }; }
namespace type { enum { tensor_type = 1 }; }
namespace tensor_type { enum { elem_type = 1, shape = 2 }; }
namespace tensor_shape { enum { dim = 1 }; }
namespace dimension { enum { dim_value = 1 }; }

ProtobufMessage value_of(const std::string& name, const OnnxModel::Shape& shape) {
  ProtobufMessage dims;
  for (const int64_t n : shape) dims.message(tensor_shape::dim, ProtobufMessage().integer(dimension::dim_value, n));
  const ProtobufMessage tensor =
      ProtobufMessage().integer(tensor_type::elem_type, tensor::float32).message(tensor_type::shape, dims);
  return ProtobufMessage()
      .bytes(value_info::name, name)
      .message(value_info::type, ProtobufMessage().message(type::tensor_type, tensor));
}

}  // namespace

std::string OnnxModel::input(const std::string& name, const Shape& shape) {
  graph_.message(graph::input, value_of(name, shape));
  return name;
}

void OnnxModel::output(const std::string& name, const Shape& shape) {
  graph_.message(graph::output, value_of(name, shape));
}

std::string OnnxModel::constant(const std::string& name, const Shape& shape, std::span<const float> numbers) {
  ProtobufMessage constant;
  for (const int64_t n : shape) constant.integer(tensor::dims, n);
  constant.integer(tensor::data_type, tensor::float32)
      .bytes(tensor::name, name)
      .bytes(tensor::raw_data, {reinterpret_cast<const char*>(numbers.data()), numbers.size_bytes()});
  graph_.message(graph::initializer, constant);
  return name;
}

std::string OnnxModel::node(const std::string& operation, const std::vector<std::string>& inputs,
                            const std::string& name, const Attributes& attributes) {
  ProtobufMessage node;
  for (const std::string& input : inputs) node.bytes(node_field::input, input);
  node.bytes(node_field::output, name).bytes(node_field::name, name).bytes(node_field::op_type, operation);
  for (const auto& [name, value] : attributes) {
    ProtobufMessage message;
    message.bytes(attribute::name, name);
    if (const float* const f = std::get_if<float>(&value))
      message.number(attribute::f, *f).integer(attribute::type, attribute::is_float);
    else
      message.integer(attribute::i, std::get<int64_t>(value)).integer(attribute::type, attribute::is_int);
    node.message(node_field::attribute, message);
  }
  graph_.message(graph::node, node);
  return name;
}

void OnnxModel::metadata(std::string_view key, std::string_view value) {
  metadata_.message(model::metadata_props, ProtobufMessage().bytes(property::key, key).bytes(property::value, value));
}

std::string OnnxModel::file(const std::string& graph_name, const std::string& producer_version) const {
  ProtobufMessage graph = graph_;
  graph.bytes(graph::name, graph_name);
  const std::string file = ProtobufMessage()
                               .integer(model::ir_version, ir_version)
                               .bytes(model::producer_name, "Meander")
                               .bytes(model::producer_version, producer_version)
                               .message(model::opset_import, ProtobufMessage().integer(operator_set::version, opset))
                               .message(model::graph, graph)
                               .bytes() + metadata_.bytes();
  if (file.size() > INT32_MAX) throw Error("the policy is larger than 2 GB, which no ONNX file can be");
  return file;
}

}  // namespace meander
