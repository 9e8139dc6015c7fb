#include <meander/app/array_file.h>

#include <algorithm>
#include <map>
#include <utility>

#include <meander/app/number_types.h>
#include <meander/core/json.h>
#include <meander/core/safetensors.h>
#include <meander/kernels/error.h>

namespace meander {

namespace {

class NpzArrays : public ArrayFile {
 public:
  explicit NpzArrays(NpzFile file) : file_(std::move(file)) {}

  std::optional<std::vector<int64_t>> shape(const std::string& name) const override {
    return file_.contains(name) ? std::optional(file_.shape(name)) : std::nullopt;
  }
  void read(const std::string& name, const TakeFloats& take) const override { file_.read(name, take); }
  std::string environment() const override {
    return file_.contains("environment") ? file_.text("environment").value_or("") : "";
  }

 private:
  NpzFile file_;
};

class SafetensorsArrays : public ArrayFile {
 public:
  explicit SafetensorsArrays(SafetensorsFile file) : file_(std::move(file)) {}

  std::optional<std::vector<int64_t>> shape(const std::string& name) const override {
    const HeaderTensor* tensor = find(name);
    if (!tensor) return std::nullopt;
    type_of(*tensor);
    return tensor->shape;
  }
  void read(const std::string& name, const TakeFloats& take) const override {
    const HeaderTensor* tensor = find(name);
    if (!tensor) throw Error(message(file_.path(), ": no tensor ", quoted(name)));
    const NumberType& type = type_of(*tensor);
    const std::span<const std::byte> bytes = file_.bytes(*tensor);
    constexpr int64_t piece = 1 << 20;
    const int64_t count = std::ssize(bytes) / type.width;
    std::vector<float> floats(static_cast<size_t>(std::min(count, piece)));
    for (int64_t done = 0; done < count;) {
      const int64_t n = std::min(count - done, piece);
      const auto part = bytes.subspan(static_cast<size_t>(done * type.width), static_cast<size_t>(n * type.width));
      type.convert(part.data(), n, floats.data());
      take({floats.data(), static_cast<size_t>(n)});
      if (file_.is_mapped()) forget(part);
      done += n;
    }
  }
  std::string environment() const override {
    const auto found = file_.metadata().find("environment");
    return found == file_.metadata().end() ? "" : found->second;
  }

 private:
  const HeaderTensor* find(const std::string& name) const {
    const auto& tensors = file_.header().tensors;
    const auto found = std::find_if(tensors.begin(), tensors.end(), [&](const auto& t) { return t.name == name; });
    return found == tensors.end() ? nullptr : &*found;
  }
  const NumberType& type_of(const HeaderTensor& tensor) const {
    const NumberType* type = find_safetensors_type(tensor.dtype->name);
    if (!type)
      throw Error(message(file_.path(), ": tensor ", quoted(tensor.name), " is ", tensor.dtype->name,
                          "; these can be read: ", safetensors_types()));
    return *type;
  }
  SafetensorsFile file_;
};

class Hdf5Arrays : public ArrayFile {
 public:
  explicit Hdf5Arrays(std::unique_ptr<Hdf5File> file) : file_(std::move(file)) {}

  std::optional<std::vector<int64_t>> shape(const std::string& name) const override {
    const auto known = shapes_.find(name);
    return known != shapes_.end() ? known->second : shapes_[name] = file_->shape(name);
  }
  void read(const std::string& name, const TakeFloats& take) const override {
    const auto there = shape(name);
    if (!there) file_->fail("no array ", quoted(name));
    file_->read(name, *there, take);
  }
  std::string environment() const override { return file_->attribute("", "environment").value_or(""); }

 private:
  std::unique_ptr<Hdf5File> file_;
  mutable std::map<std::string, std::optional<std::vector<int64_t>>> shapes_;
};

// Opens `from`, a path or bytes and what to call them.
template <class... From>
std::unique_ptr<ArrayFile> open(const std::string& name, const From&... from) {
  if (name.ends_with(".npz")) return std::make_unique<NpzArrays>(NpzFile(from...));
  if (name.ends_with(".safetensors")) return std::make_unique<SafetensorsArrays>(SafetensorsFile(from...));
  throw Error(name + ": the name of a data set ends with .npz, .safetensors or .hdf5");
}

}  // namespace

std::vector<float> read_floats(const ArrayFile& file, const std::string& name, int64_t room) {
  std::vector<float> values;
  values.reserve(static_cast<size_t>(room));
  file.read(name, [&](std::span<const float> piece) { values.insert(values.end(), piece.begin(), piece.end()); });
  return values;
}

std::unique_ptr<ArrayFile> hdf5_arrays(std::unique_ptr<Hdf5File> file) {
  return std::make_unique<Hdf5Arrays>(std::move(file));
}

std::unique_ptr<ArrayFile> open_array_file(const std::string& path) { return open(path, path); }
std::unique_ptr<ArrayFile> open_array_file(std::span<const std::byte> bytes, const std::string& name) {
  return open(name, bytes, name);
}

}  // namespace meander
