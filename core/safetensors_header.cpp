#include <meander/core/safetensors_header.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

#include <meander/core/json.h>
#include <meander/kernels/error.h>

namespace meander {

namespace {

constexpr uint64_t prefix_length = 8;
constexpr uint64_t longest_header = 25'000'000;  // a quarter of the reference implementation's limit: .3 s

constexpr FormatDType format_dtypes[] = {
    {"F32", 4, true, DType::float32}, {"F64", 8, true, DType::float64}, {"I32", 4, true, DType::int32},
    {"U32", 4, true, DType::uint32},  {"U8", 1, true, DType::uint8},    {"I64", 8, false, {}},
    {"U64", 8, false, {}},            {"BOOL", 1, false, {}},           {"I8", 1, false, {}},
    {"I16", 2, false, {}},            {"U16", 2, false, {}},            {"F16", 2, false, {}},
    {"BF16", 2, false, {}},           {"F8_E4M3", 1, false, {}},        {"F8_E5M2", 1, false, {}},
};

// One "name": {"dtype", "shape", "data_offsets"}, its place from the start of the data.
HeaderTensor parse_tensor(const std::string& name, const Json& json) {
  const auto wrong = [&](const auto&... what) { return Error(message("tensor ", quoted(name), ": ", what...)); };
  HeaderTensor tensor{name, nullptr, {}, 0, 0};
  std::vector<int64_t> offsets;
  try {
    const std::string& dtype = json.at("dtype").text();
    for (const auto& known : format_dtypes)
      if (dtype == known.name) tensor.dtype = &known;
    tensor.shape = json.at("shape").wholes();
    offsets = json.at("data_offsets").wholes();
  } catch (const Error& error) {
    throw wrong("expected an object with a string dtype, a shape and data_offsets of whole numbers (", error.what(),
                ")");
  }
  if (!tensor.dtype) throw wrong("unknown dtype ", quoted(json.at("dtype").text()));

  int64_t size = tensor.dtype->bytes;
  for (int64_t dimension : tensor.shape) {
    if (dimension < 0) throw wrong("a dimension of its shape is negative");
    if (__builtin_mul_overflow(size, dimension, &size)) throw wrong("its shape is too large");
  }
  if (offsets.size() != 2 || offsets[0] < 0 || offsets[1] < 0)
    throw wrong("data_offsets are not two whole numbers from 0 on");
  tensor.begin = static_cast<uint64_t>(offsets[0]);
  tensor.end = static_cast<uint64_t>(offsets[1]);
  if (tensor.end < tensor.begin || tensor.end - tensor.begin != static_cast<uint64_t>(size))
    throw wrong("its shape takes ", size, " bytes, its data_offsets are ", tensor.begin, " to ", tensor.end);
  return tensor;
}

// In the order of the data each tensor begins where the one before ended, and the last ends with the file.
void expect_no_gaps(const std::vector<HeaderTensor>& tensors, uint64_t data_length) {
  uint64_t position = 0;
  for (const HeaderTensor& tensor : tensors) {
    if (tensor.begin != position)
      throw Error(message("damaged: tensor ", quoted(tensor.name), " begins at byte ", tensor.begin,
                          " of the data, the one before it ends at ", position));
    if (tensor.end > data_length)
      throw Error(message("truncated: tensor ", quoted(tensor.name), " ends at byte ", tensor.end,
                          " of the data, which has ", data_length));
    position = tensor.end;
  }
  if (position != data_length)
    throw Error(message("damaged: ", data_length - position, " bytes after the last tensor"));
}

}  // namespace

const char* format_name(DType dtype) {
  for (const auto& entry : format_dtypes)
    if (entry.known && entry.dtype == dtype) return entry.name;
  throw Error("no safetensors name for this dtype");
}

SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file) {
  if (file.size() < prefix_length)
    throw Error(message("truncated or not a safetensors file: ", file.size(), " bytes, not even a header length"));
  const uint64_t after_prefix = file.size() - prefix_length;
  uint64_t header_length;
  std::memcpy(&header_length, file.data(), prefix_length);
  if (header_length > longest_header)
    throw Error(message("not a safetensors file: its first 8 bytes give a header of ", header_length, " bytes"));
  if (header_length > after_prefix)
    throw Error(message("truncated: the header takes ", header_length, " bytes, ", after_prefix, " are left"));

  const std::string_view text(reinterpret_cast<const char*>(file.data() + prefix_length), header_length);
  Json json;
  try {
    json = Json::parse(text);
  } catch (const Error& error) {
    throw Error(message("damaged, or not a safetensors file: its header, ", error.what()));
  }
  if (!json.is_object()) throw Error("damaged, or not a safetensors file: the header is not a JSON object");

  SafetensorsHeader header;
  for (const auto& [name, member] : json.object()) {
    if (name != "__metadata__") {
      header.tensors.push_back(parse_tensor(name, member));
      continue;
    }
    try {
      for (const auto& [key, value] : member.object())
        header.metadata.emplace_hint(header.metadata.end(), key, value.text());
    } catch (const Error& error) {
      throw Error(message("damaged: __metadata__ is not an object of strings (", error.what(), ")"));
    }
  }
  std::sort(header.tensors.begin(), header.tensors.end(), [](const HeaderTensor& a, const HeaderTensor& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  expect_no_gaps(header.tensors, after_prefix - header_length);
  for (HeaderTensor& tensor : header.tensors) {
    tensor.begin += prefix_length + header_length;
    tensor.end += prefix_length + header_length;
  }
  return header;
}

}  // namespace meander
