#include <meander/core/safetensors.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include <meander/core/json.h>
#include <meander/core/replacement.h>
#include <meander/kernels/error.h>

namespace meander {

namespace {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian and read in place");


constexpr uint64_t prefix_length = 8;
constexpr uint64_t longest_header = 100'000'000;  // the limit of the format's reference implementation

// The format's dtypes: bytes an element, and ours where there is one.
struct FormatDType {
  const char* name;
  int64_t bytes;
  bool known;
  DType dtype;
};
constexpr FormatDType format_dtypes[] = {
    {"F32", 4, true, DType::float32}, {"F64", 8, true, DType::float64}, {"I32", 4, true, DType::int32},
    {"U32", 4, true, DType::uint32},  {"U8", 1, true, DType::uint8},    {"I64", 8, false, {}},
    {"U64", 8, false, {}},            {"BOOL", 1, false, {}},           {"I8", 1, false, {}},
    {"I16", 2, false, {}},            {"U16", 2, false, {}},            {"F16", 2, false, {}},
    {"BF16", 2, false, {}},           {"F8_E4M3", 1, false, {}},        {"F8_E5M2", 1, false, {}},
};

const char* format_name(DType dtype) {
  for (const auto& entry : format_dtypes)
    if (entry.known && entry.dtype == dtype) return entry.name;
  throw Error("no safetensors name for this dtype");
}

std::string reason(int error) { return std::strerror(error); }

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  explicit operator bool() const { return fd_ >= 0; }
  int get() const { return fd_; }
  int close() { return fd_ < 0 ? 0 : ::close(std::exchange(fd_, -1)); }

 private:
  int fd_;
};

struct HeaderEntry {
  std::string name;
  const FormatDType* dtype;
  std::vector<int64_t> shape;
  uint64_t begin, end;  // from the start of the data
};

// One "name": {"dtype", "shape", "data_offsets"}; throws what is wrong with it, without the path.
HeaderEntry parse_entry(const std::string& name, const Json& json) {
  const std::string where = message("tensor ", quoted(name), ": ");
  HeaderEntry entry{name, nullptr, {}, 0, 0};
  std::vector<int64_t> offsets;
  try {
    for (const auto& known : format_dtypes)
      if (json.at("dtype").text() == known.name) entry.dtype = &known;
    entry.shape = json.at("shape").wholes();
    offsets = json.at("data_offsets").wholes();
  } catch (const Error& error) {
    throw Error(message(where, "expected an object with a string dtype, a shape and data_offsets of whole numbers (",
                        error.what(), ")"));
  }
  if (!entry.dtype) throw Error(message(where, "unknown dtype ", quoted(json.at("dtype").text())));

  int64_t size = entry.dtype->bytes;
  for (int64_t dimension : entry.shape) {
    if (dimension < 0) throw Error(where + "a dimension of its shape is negative");
    if (__builtin_mul_overflow(size, dimension, &size)) throw Error(where + "its shape is too large");
  }
  if (offsets.size() != 2 || offsets[0] < 0 || offsets[1] < 0)
    throw Error(where + "data_offsets are not two whole numbers from 0 on");
  entry.begin = static_cast<uint64_t>(offsets[0]);
  entry.end = static_cast<uint64_t>(offsets[1]);
  if (entry.end < entry.begin || entry.end - entry.begin != static_cast<uint64_t>(size))
    throw Error(message(where, "its shape takes ", size, " bytes, its data_offsets are ", entry.begin, " to ",
                        entry.end));
  return entry;
}

}  // namespace

int64_t FileTensor::size() const {
  int64_t n = 1;
  for (int64_t dimension : shape) n *= dimension;
  return n;
}

// ---- reading --------------------------------------------------------------------------------------------------------

SafetensorsFile::SafetensorsFile(std::string path) : path_(std::move(path)) {
  // Without O_NONBLOCK, opening a named pipe would wait for its writer.
  Descriptor file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) throw Error(message(path_, ": cannot open: ", reason(errno)));
  struct stat status;
  if (::fstat(file.get(), &status) != 0) throw Error(message(path_, ": cannot read: ", reason(errno)));
  if (!S_ISREG(status.st_mode)) throw Error(message(path_, ": not a file"));
  length_ = static_cast<size_t>(status.st_size);
  if (length_ < prefix_length)
    throw Error(message(path_, ": truncated or not a safetensors file: ", length_, " bytes, not even a header length"));
  void* mapping = ::mmap(nullptr, length_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (mapping == MAP_FAILED) throw Error(message(path_, ": cannot read: ", reason(errno)));
  mapping_ = mapping;
  try {
    read_header();
  } catch (const Error& error) {
    ::munmap(mapping_, length_);
    throw Error(message(path_, ": ", error.what()));
  } catch (...) {
    ::munmap(mapping_, length_);
    throw;
  }
}

void SafetensorsFile::read_header() {
  const auto* bytes = static_cast<const std::byte*>(mapping_);
  const uint64_t after_prefix = length_ - prefix_length;
  uint64_t header_length;
  std::memcpy(&header_length, bytes, prefix_length);
  if (header_length > longest_header)
    throw Error(message("not a safetensors file: its first 8 bytes give a header of ", header_length, " bytes"));
  if (header_length > after_prefix)
    throw Error(message("truncated: the header takes ", header_length, " bytes, ", after_prefix, " are left"));

  const std::string_view text(reinterpret_cast<const char*>(bytes + prefix_length), header_length);
  Json header;
  try {
    header = Json::parse(text);
  } catch (const Error& error) {
    throw Error(message("damaged, or not a safetensors file: its header, ", error.what()));
  }
  if (!header.is_object()) throw Error("damaged, or not a safetensors file: the header is not a JSON object");

  std::vector<HeaderEntry> entries;
  for (const auto& [name, json] : header.object()) {
    if (name != "__metadata__") {
      entries.push_back(parse_entry(name, json));
      continue;
    }
    try {
      for (const auto& [key, value] : json.object()) metadata_[key] = value.text();
    } catch (const Error& error) {
      throw Error(message("damaged: __metadata__ is not an object of strings (", error.what(), ")"));
    }
  }

  // In the order of the data each tensor begins where the one before ended, and the last ends with the file.
  std::sort(entries.begin(), entries.end(), [](const HeaderEntry& a, const HeaderEntry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  const std::byte* data = bytes + prefix_length + header_length;
  const uint64_t data_length = after_prefix - header_length;
  uint64_t position = 0;
  for (auto& entry : entries) {
    if (entry.begin != position)
      throw Error(message("damaged: tensor ", quoted(entry.name), " begins at byte ", entry.begin, " of the data, the ",
                          "one before it ends at ", position));
    if (entry.end > data_length)
      throw Error(message("truncated: tensor ", quoted(entry.name), " ends at byte ", entry.end, " of the data, which ",
                          "has ", data_length));
    position = entry.end;
    if (!entry.dtype->known) {
      refused_[entry.name] = entry.dtype->name;
      continue;
    }
    const std::byte* where = data + entry.begin;
    if (reinterpret_cast<uintptr_t>(where) % static_cast<uintptr_t>(entry.dtype->bytes) != 0) {
      realigned_.push_back(std::make_unique<std::byte[]>(entry.end - entry.begin));
      std::memcpy(realigned_.back().get(), where, entry.end - entry.begin);
      where = realigned_.back().get();
    }
    tensors_[entry.name] = {entry.dtype->dtype, std::move(entry.shape), where};
  }
  if (position != data_length)
    throw Error(message("damaged: ", data_length - position, " bytes after the last tensor"));
}

SafetensorsFile::~SafetensorsFile() {
  if (mapping_) ::munmap(mapping_, length_);
}

SafetensorsFile::SafetensorsFile(SafetensorsFile&& other) noexcept
    : path_(std::move(other.path_)),
      metadata_(std::move(other.metadata_)),
      tensors_(std::move(other.tensors_)),
      refused_(std::move(other.refused_)),
      realigned_(std::move(other.realigned_)),
      mapping_(std::exchange(other.mapping_, nullptr)),
      length_(std::exchange(other.length_, 0)) {}

const std::string& SafetensorsFile::metadata(const std::string& key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) throw Error(message(path_, ": no metadata ", quoted(key)));
  return found->second;
}

const FileTensor& SafetensorsFile::at(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found != tensors_.end()) return found->second;
  if (const auto refused = refused_.find(name); refused != refused_.end())
    throw Error(message(path_, ": tensor ", quoted(name), " is ", refused->second,
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
