#include <meander/app/npz_file.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <filesystem>

#include <meander/kernels/error.h>

namespace meander {

static_assert(std::endian::native == std::endian::little, "arrays are read and written as they lie in memory");

namespace {

constexpr std::string_view magic = "\x93NUMPY";
constexpr uint64_t longest_header = 1 << 16;
constexpr uint64_t best_deflation = 1032;  // bytes that one byte of a deflated stream can stand for

// A type of numbers as NumPy names it, and how to append n of them to float32.
struct NumberType {
  std::string_view descr;
  int64_t width;
  void (*append)(std::vector<float>& values, const char* bytes, int64_t n);
};

template <class T>
void append_as(std::vector<float>& values, const char* bytes, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    T number;
    std::memcpy(&number, bytes + i * static_cast<int64_t>(sizeof number), sizeof number);
    values.push_back(static_cast<float>(number));
  }
}

const NumberType number_types[] = {
    {"<f4", 4, append_as<float>},   {"<f8", 8, append_as<double>}, {"|b1", 1, append_as<uint8_t>},
    {"|u1", 1, append_as<uint8_t>}, {"|i1", 1, append_as<int8_t>}, {"<i4", 4, append_as<int32_t>},
    {"<i8", 8, append_as<int64_t>},
};

// The words of a Python literal, one after another.
class HeaderText {
 public:
  explicit HeaderText(std::string_view text) : text_(text) {}

  // Whether the next character, spaces aside, is c; then it is passed.
  bool take(char c) {
    skip_spaces();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!take(c)) fail(std::string("'") + c + "'");
  }
  std::string quoted() {
    const char quote = take('"') ? '"' : '\'';
    if (quote == '\'' && !take(quote)) fail("a quoted text");
    const size_t end = text_.find(quote, at_);
    if (end == std::string_view::npos) fail("a closing quote");
    const std::string word(text_.substr(at_, end - at_));
    at_ = end + 1;
    return word;
  }
  bool truth() {
    skip_spaces();
    for (const bool value : {false, true})
      if (const std::string_view word = value ? "True" : "False"; text_.substr(at_).starts_with(word)) {
        at_ += word.size();
        return value;
      }
    fail("True or False");
  }
  int64_t count() {
    skip_spaces();
    int64_t value = -1;
    const auto [stop, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (error != std::errc() || value < 0) fail("a whole number");
    at_ = static_cast<size_t>(stop - text_.data());
    return value;
  }
  void end() {
    skip_spaces();
    if (at_ < text_.size()) fail("the end");
  }
  [[noreturn]] void fail(const std::string& expected) const {
    throw Error(message("the header is not an array's: expected ", expected, " at byte ", at_));
  }

 private:
  void skip_spaces() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  std::string_view text_;
  size_t at_ = 0;
};

std::string zip_text(int code) {
  zip_error_t error;
  zip_error_init_with_code(&error, code);
  const std::string text = zip_error_strerror(&error);
  zip_error_fini(&error);
  return text;
}

// A member of an archive as a stream.
class MemberReader {
 public:
  MemberReader(zip_t* archive, uint64_t index) : file_(zip_fopen_index(archive, index, 0)) {
    if (!file_) throw Error(message("cannot be read: ", zip_strerror(archive)));
  }
  ~MemberReader() { zip_fclose(file_); }
  MemberReader(const MemberReader&) = delete;
  MemberReader& operator=(const MemberReader&) = delete;

  void read(char* to, uint64_t bytes) {
    if (read_some(to, bytes) != bytes) throw Error("ends too early");
  }
  // Only a read beyond the last byte makes libzip compare the checksum.
  void end() {
    char more;
    if (read_some(&more, 1) != 0) throw Error("longer than its header says");
  }

 private:
  uint64_t read_some(char* to, uint64_t bytes) {
    const zip_int64_t got = zip_fread(file_, to, bytes);
    if (got < 0) throw Error(message("damaged: ", zip_file_strerror(file_)));
    return static_cast<uint64_t>(got);
  }
  zip_file_t* file_;
};

NpyHeader read_header(MemberReader& member, uint64_t& length) {
  char start[12];
  member.read(start, 10);
  if (std::string_view(start, magic.size()) != magic) throw Error("not an array in NumPy's format");
  const int version = start[6];
  uint64_t text_length = static_cast<uint8_t>(start[8]) | static_cast<uint8_t>(start[9]) << 8;
  length = 10;
  if (version == 2 || version == 3) {  // four bytes for the length instead of two
    member.read(start + 10, 2);
    text_length |= static_cast<uint64_t>(static_cast<uint8_t>(start[10])) << 16 |
                   static_cast<uint64_t>(static_cast<uint8_t>(start[11])) << 24;
    length = 12;
  } else if (version != 1) {
    throw Error(message("version ", version, " of NumPy's format; 1 to 3 can be read"));
  }
  if (text_length > longest_header) throw Error(message("damaged: a header of ", text_length, " bytes"));
  std::string text(text_length, '\0');
  member.read(text.data(), text_length);
  length += text_length;
  return parse_npy_header(text);
}

FloatArray read_array(MemberReader& member, uint64_t member_length) {
  uint64_t header_length;
  const NpyHeader header = read_header(member, header_length);
  const auto type = std::find_if(std::begin(number_types), std::end(number_types),
                                 [&](const NumberType& known) { return known.descr == header.descr; });
  if (type == std::end(number_types)) {
    std::string known;
    for (const NumberType& t : number_types) known += (known.empty() ? "" : " ") + std::string(t.descr);
    throw Error(message("numbers of type ", header.descr, "; these can be read: ", known));
  }
  if (header.fortran_order) throw Error("in Fortran order: save numpy.ascontiguousarray of it");

  int64_t count = 1, bytes = 0;
  for (const int64_t dimension : header.shape)
    if (__builtin_mul_overflow(count, dimension, &count)) count = INT64_MAX;
  const uint64_t data_length = member_length - header_length;
  if (__builtin_mul_overflow(count, type->width, &bytes) || static_cast<uint64_t>(bytes) != data_length)
    throw Error(message("shape ", shape_text(header.shape), " of ", header.descr, ", but ", data_length,
                        " bytes of data"));

  FloatArray array{header.shape, {}};
  array.values.reserve(static_cast<size_t>(count));
  std::vector<char> buffer(static_cast<size_t>(std::min<int64_t>(bytes, type->width << 14)));
  for (int64_t left = count; left > 0;) {
    const int64_t n = std::min(left, std::ssize(buffer) / type->width);
    member.read(buffer.data(), static_cast<uint64_t>(n * type->width));
    type->append(array.values, buffer.data(), n);
    left -= n;
  }
  member.end();
  return array;
}

}  // namespace

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t dimension : shape) text += (text.empty() ? "" : ", ") + std::to_string(dimension);
  return "[" + text + "]";
}

NpyHeader parse_npy_header(std::string_view text) {
  HeaderText words(text);
  NpyHeader header;
  bool has_descr = false, has_order = false, has_shape = false;
  words.expect('{');
  while (!words.take('}')) {
    const std::string key = words.quoted();
    words.expect(':');
    if (key == "descr" && !has_descr) {
      header.descr = words.quoted(), has_descr = true;
    } else if (key == "fortran_order" && !has_order) {
      header.fortran_order = words.truth(), has_order = true;
    } else if (key == "shape" && !has_shape) {
      words.expect('(');
      while (!words.take(')')) {
        header.shape.push_back(words.count());
        if (!words.take(',')) {
          words.expect(')');
          break;
        }
      }
      has_shape = true;
    } else {
      words.fail("one each of descr, fortran_order and shape before");
    }
    if (!words.take(',')) {
      words.expect('}');
      break;
    }
  }
  words.end();
  if (!has_descr || !has_order || !has_shape) words.fail("descr, fortran_order and shape before");
  return header;
}

// ---- reading --------------------------------------------------------------------------------------------------------

NpzFile::NpzFile(const std::string& path) : path_(path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) throw Error(path + ": no such file");
  length_ = std::filesystem::file_size(path, error);
  int code = 0;
  archive_.reset(zip_open(path.c_str(), ZIP_RDONLY, &code));
  if (!archive_) throw Error(message(path, ": truncated, or not an NPZ file: ", zip_text(code)));
}

bool NpzFile::contains(const std::string& name) const {
  return zip_name_locate(archive_.get(), (name + ".npy").c_str(), 0) >= 0;
}

FloatArray NpzFile::read(const std::string& name) const {
  try {
    zip_stat_t about;
    if (zip_stat(archive_.get(), (name + ".npy").c_str(), 0, &about) != 0) throw Error("absent");
    // So that a damaged length is not taken for a reason to ask for that much memory.
    if (about.size / best_deflation > length_)
      throw Error(message("damaged: ", about.size, " bytes in a file of ", length_));
    MemberReader member(archive_.get(), about.index);
    return read_array(member, about.size);
  } catch (const Error& error) {
    throw Error(message(path_, ": array ", name, ": ", error.what()));
  }
}

// ---- writing --------------------------------------------------------------------------------------------------------

void NpzWriter::add(std::string name, const char* descr, int64_t width, const std::vector<int64_t>& shape,
                    const void* data) {
  std::string dimensions;
  uint64_t bytes = static_cast<uint64_t>(width);
  for (const int64_t dimension : shape) {
    dimensions += (dimensions.empty() ? "" : ", ") + std::to_string(dimension);
    bytes *= static_cast<uint64_t>(dimension);
  }
  if (shape.size() == 1) dimensions += ",";  // a tuple of one
  std::string text = message("{'descr': '", descr, "', 'fortran_order': False, 'shape': (", dimensions, "), }");
  text.append(63 - (magic.size() + 4 + text.size()) % 64, ' ');  // the numbers begin at a multiple of 64 bytes
  text += '\n';
  std::string header(magic);
  header += {1, 0, static_cast<char>(text.size() & 0xff), static_cast<char>(text.size() >> 8)};
  members_.push_back({name + ".npy", header + text, data, bytes});
}

void NpzWriter::add(std::string name, const std::vector<int64_t>& shape, const float* data) {
  add(std::move(name), "<f4", 4, shape, data);
}
void NpzWriter::add_bool(std::string name, const std::vector<int64_t>& shape, const uint8_t* data) {
  add(std::move(name), "|b1", 1, shape, data);
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
