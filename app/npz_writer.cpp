#include <zip.h>

#include <bit>

#include <meander/app/npz_file.h>
#include <meander/kernels/error.h>

namespace meander {

static_assert(std::endian::native == std::endian::little, "arrays are written as they lie in memory");

namespace {

std::string zip_text(int code) {
  zip_error_t error;
  zip_error_init_with_code(&error, code);
  const std::string text = zip_error_strerror(&error);
  zip_error_fini(&error);
  return text;
}

}  // namespace

void NpzWriter::add(std::string name, const std::string& descr, int64_t width, const std::vector<int64_t>& shape,
                    const void* data) {
  std::string dimensions;
  uint64_t bytes = static_cast<uint64_t>(width);
  for (const int64_t dimension : shape) {
    dimensions += (dimensions.empty() ? "" : ", ") + std::to_string(dimension);
    bytes *= static_cast<uint64_t>(dimension);
  }
  if (shape.size() == 1) dimensions += ",";  // a tuple of one
  std::string text = message("{'descr': '", descr, "', 'fortran_order': False, 'shape': (", dimensions, "), }");
  text.append(63 - (npy_magic.size() + 4 + text.size()) % 64, ' ');  // the numbers begin at a multiple of 64 bytes
  text += '\n';
  std::string header(npy_magic);
  header += {1, 0, static_cast<char>(text.size() & 0xff), static_cast<char>(text.size() >> 8)};
  members_.push_back({name + ".npy", header + text, data, bytes});
}

void NpzWriter::add(std::string name, const std::vector<int64_t>& shape, const float* data) {
  add(std::move(name), "<f4", 4, shape, data);
}
void NpzWriter::add_bool(std::string name, const std::vector<int64_t>& shape, const uint8_t* data) {
  add(std::move(name), "|b1", 1, shape, data);
}

void NpzWriter::add_text(std::string name, const std::string& text) {
  const std::u32string wide(text.begin(), text.end());
  const auto bytes = static_cast<int64_t>(wide.size() * sizeof(char32_t));
  add(std::move(name), message("<U", wide.size()), bytes, {}, nullptr);
  members_.back().header.append(reinterpret_cast<const char*>(wide.data()), static_cast<size_t>(bytes));
  members_.back().bytes = 0;
}

void NpzWriter::write(const std::string& path) const {
  const auto fail = [&](const std::string& why) { throw Failure(message("cannot write ", path, ": ", why)); };
  int code = 0;
  zip_t* archive = zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, &code);
  if (!archive) fail(zip_text(code));
  const auto discard = [&] {
    const std::string why = zip_strerror(archive);
    zip_discard(archive);
    fail(why);
  };
  for (const Member& member : members_) {
    const auto bytes = [](const void* data) { return static_cast<zip_uint8_t*>(const_cast<void*>(data)); };
    const zip_buffer_fragment_t parts[] = {{bytes(member.header.data()), member.header.size()},
                                           {bytes(member.data), member.bytes}};
    zip_source_t* source = zip_source_buffer_fragment(archive, parts, 2, 0);
    const zip_int64_t added = source ? zip_file_add(archive, member.name.c_str(), source, ZIP_FL_ENC_UTF_8) : -1;
    if (added < 0) {
      if (source) zip_source_free(source);
      discard();
    }
    const auto index = static_cast<zip_uint64_t>(added);
    constexpr zip_uint16_t midnight = 0, first_day = 1 << 5 | 1;  // 1980-01-01, the first that a zip file can tell
    if (zip_set_file_compression(archive, index, ZIP_CM_STORE, 0) != 0 ||
        zip_file_set_dostime(archive, index, midnight, first_day, 0) != 0)
      discard();
  }
  if (zip_close(archive) != 0) discard();  // writes everything
}

}  // namespace meander
