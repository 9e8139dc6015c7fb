#include <meander/core/safetensors.h>

#include <algorithm>
#include <bit>
#include <utility>

#include <meander/core/json.h>
#include <meander/core/memory_limit.h>
#include <meander/core/replacement.h>
#include <meander/kernels/error.h>

namespace meander {

namespace {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian and read in place");

constexpr uint64_t prefix_length = 8;

}  // namespace

int64_t FileTensor::size() const {
  int64_t n = 1;
  for (int64_t dimension : shape) n *= dimension;
  return n;
}

// ---- reading --------------------------------------------------------------------------------------------------------

SafetensorsFile::SafetensorsFile(std::string path) : path_(std::move(path)), file_(path_), bytes_(file_->bytes()) {
  index();
}

SafetensorsFile::SafetensorsFile(std::span<const std::byte> bytes, std::string name)
    : path_(std::move(name)), bytes_(bytes) {
  index();
}

void SafetensorsFile::index() {
  try {
    header_ = parse_safetensors_header(bytes_);
  } catch (const Error& error) {
    throw Error(message(path_, ": ", error.what()));
  }
  for (const HeaderTensor& tensor : header_.tensors) {
    if (!tensor.dtype->known) continue;
    const std::span<const std::byte> stored = bytes(tensor);
    const std::byte* where = stored.data();
    if (reinterpret_cast<uintptr_t>(where) % static_cast<uintptr_t>(tensor.dtype->bytes) != 0) {
      expect_memory(message(path_, ": tensor ", quoted(tensor.name)), stored.size());
      realigned_.push_back(std::make_unique_for_overwrite<std::byte[]>(stored.size()));
      where = realigned_.back().get();
      std::copy(stored.begin(), stored.end(), realigned_.back().get());
    }
    tensors_[tensor.name] = {tensor.dtype->dtype, tensor.shape, where};
  }
}

const std::string& SafetensorsFile::metadata(const std::string& key) const {
  const auto found = metadata().find(key);
  if (found == metadata().end()) throw Error(message(path_, ": no metadata ", quoted(key)));
  return found->second;
}

const FileTensor& SafetensorsFile::at(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found != tensors_.end()) return found->second;
  for (const HeaderTensor& tensor : header_.tensors)
    if (tensor.name == name)
      throw Error(message(path_, ": tensor ", quoted(name), " is ", tensor.dtype->name,
                          "; F32, F64, I32, U32 and U8 can be read"));
  throw Error(message(path_, ": no tensor ", quoted(name)));
}

template <class T>
std::span<const T> SafetensorsFile::values(const std::string& name, int64_t expected) const {
  const FileTensor& tensor = at(name);
  if (tensor.dtype != dtype_of<T>)
    throw Error(message(path_, ": tensor ", quoted(name), ": expected ", meander::name(dtype_of<T>), ", is ",
                        meander::name(tensor.dtype)));
  if (expected >= 0 && tensor.size() != expected)
    throw Error(message(path_, ": tensor ", quoted(name), ": expected ", expected, " elements, has ", tensor.size(),
                        " of shape ", Json(tensor.shape).dump()));
  return tensor.as<T>();
}

template std::span<const float> SafetensorsFile::values<float>(const std::string&, int64_t) const;
template std::span<const double> SafetensorsFile::values<double>(const std::string&, int64_t) const;
template std::span<const int32_t> SafetensorsFile::values<int32_t>(const std::string&, int64_t) const;
template std::span<const uint32_t> SafetensorsFile::values<uint32_t>(const std::string&, int64_t) const;
template std::span<const uint8_t> SafetensorsFile::values<uint8_t>(const std::string&, int64_t) const;

// ---- writing --------------------------------------------------------------------------------------------------------

void SafetensorsWriter::metadata(std::string key, std::string value) { metadata_[std::move(key)] = std::move(value); }

void SafetensorsWriter::add(std::string name, DType dtype, std::vector<int64_t> shape, const void* data) {
  for (const Entry& entry : entries_)
    if (entry.name == name) throw Error(message("safetensors: tensor ", quoted(name), " is added twice"));
  for (int64_t dimension : shape)
    if (dimension < 0) throw Error(message("safetensors: tensor ", quoted(name), " has a negative dimension"));
  entries_.push_back({std::move(name), dtype, std::move(shape), data});
}

void SafetensorsWriter::write(const std::string& path, const std::function<void()>& last_check) const {
  // The widest elements first: the format allows no gaps, and so each tensor is aligned to its elements.
  std::vector<const Entry*> order;
  for (const Entry& entry : entries_) order.push_back(&entry);
  std::stable_sort(order.begin(), order.end(),
                   [](const Entry* a, const Entry* b) { return bytes(a->dtype) > bytes(b->dtype); });

  Json::Object header;
  if (!metadata_.empty()) header["__metadata__"] = Json::Object(metadata_.begin(), metadata_.end());
  std::vector<uint64_t> lengths;
  uint64_t position = 0;
  for (const Entry* entry : order) {
    const auto length = static_cast<uint64_t>(FileTensor{entry->dtype, entry->shape}.size() * bytes(entry->dtype));
    const auto begin = static_cast<int64_t>(position), end = static_cast<int64_t>(position + length);
    header[entry->name] = Json::Object{{"dtype", format_name(entry->dtype)},
                                       {"shape", entry->shape},
                                       {"data_offsets", Json::List{begin, end}}};
    lengths.push_back(length);
    position += length;
  }
  std::string text;
  try {
    text = Json(std::move(header)).dump();
  } catch (const Error&) {
    throw Error(message(path, ": a tensor's name or the metadata is not UTF-8"));
  }
  text.append((8 - text.size() % 8) % 8, ' ');

  Replacement file(path);
  const uint64_t header_length = text.size();
  file.write(&header_length, prefix_length);
  file.write(text.data(), text.size());
  for (size_t i = 0; i < order.size(); ++i) file.write(order[i]->data, lengths[i]);
  file.take_place(last_check);
}

}  // namespace meander
