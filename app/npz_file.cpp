#include <meander/app/npz_file.h>

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include <meander/app/number_types.h>
#include <meander/core/json.h>
#include <meander/core/memory_limit.h>
#include <meander/kernels/error.h>

namespace meander {

namespace {

constexpr uint64_t longest_header = 1 << 16;

// A member of an archive unpacked, one piece after another.
class MemberReader {
 public:
  // `mapped`: its bytes are those of a FileBytes, and need not stay in memory once read.
  MemberReader(const ZipMember& member, bool mapped) : member_(member), rest_(member.stored), mapped_(mapped) {
    if (member.encrypted) throw Error("encrypted");
    if (member.method != 0 && member.method != deflated)
      throw Error(message("packed by method ", member.method, "; numpy.savez and numpy.savez_compressed are read"));
    // So that nobody calls inflateEnd on a stream that was not begun.
    if (member.method == deflated && inflateInit2(&stream_, -MAX_WBITS) != Z_OK) throw Error("zlib does not start");
  }
  ~MemberReader() {
    if (member_.method == deflated) inflateEnd(&stream_);
  }
  MemberReader(const MemberReader&) = delete;
  MemberReader& operator=(const MemberReader&) = delete;

  void read(std::byte* to, size_t bytes) {
    if (bytes > member_.size - done_) throw Error("ends too early");
    if (member_.method == deflated) inflate_to(to, bytes);
    else std::copy_n(rest_.begin(), bytes, to), pass(bytes);
    done_ += bytes;
    checksum_ = static_cast<uint32_t>(crc32_z(checksum_, reinterpret_cast<const Bytef*>(to), bytes));
  }
  uint64_t left() const { return member_.size - done_; }
  // After the last byte: that there are no more, and the checksum.
  void end() {
    std::byte more;
    if (member_.method == deflated && inflate_some(&more, 1) != 0) throw Error("damaged: longer than the archive says");
    if (checksum_ != member_.checksum) throw Error("damaged: its checksum is another");
  }

 private:
  static constexpr int deflated = 8;

  void inflate_to(std::byte* to, size_t bytes) {
    if (inflate_some(to, bytes) != bytes) throw Error("damaged: shorter than the archive says");
  }

  // As many bytes as there are, up to `bytes`.
  size_t inflate_some(std::byte* to, size_t bytes) {
    stream_.next_out = reinterpret_cast<Bytef*>(to);
    stream_.avail_out = static_cast<uInt>(bytes);
    while (stream_.avail_out > 0 && !ended_) {
      const size_t piece = std::min<size_t>(rest_.size(), 1 << 20);
      stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(rest_.data()));
      stream_.avail_in = static_cast<uInt>(piece);
      const int result = inflate(&stream_, Z_NO_FLUSH);
      pass(piece - stream_.avail_in);
      if (result == Z_STREAM_END) ended_ = true;
      else if (result != Z_OK) throw Error("damaged: it cannot be unpacked");
    }
    return bytes - stream_.avail_out;
  }

  void pass(size_t bytes) {
    rest_ = rest_.subspan(bytes);
    passed_ += bytes;
    constexpr size_t often = 8 << 20;
    if (mapped_ && passed_ >= often) {
      forget({rest_.data() - passed_, passed_});
      passed_ = 0;
    }
  }

  const ZipMember& member_;
  std::span<const std::byte> rest_;
  bool mapped_;
  z_stream stream_ = {};
  bool ended_ = false;
  uint64_t done_ = 0;
  uint32_t checksum_ = 0;
  size_t passed_ = 0;  // of the bytes before rest_, since some were last forgotten
};

NpyHeader read_header(MemberReader& member) {
  std::array<std::byte, 12> start;
  member.read(start.data(), 10);
  const auto byte = [&](size_t i) { return static_cast<uint64_t>(start[i]); };
  if (std::memcmp(start.data(), npy_magic.data(), npy_magic.size()) != 0)
    throw Error("not an array in NumPy's format");
  uint64_t length = byte(8) | byte(9) << 8;
  if (byte(6) == 2 || byte(6) == 3) {  // four bytes for the length instead of two
    member.read(start.data() + 10, 2);
    length |= byte(10) << 16 | byte(11) << 24;
  } else if (byte(6) != 1) {
    throw Error(message("version ", byte(6), " of NumPy's format; 1 to 3 can be read"));
  }
  if (length > longest_header) throw Error(message("damaged: a header of ", length, " bytes"));
  std::string text(length, '\0');
  member.read(reinterpret_cast<std::byte*>(text.data()), length);
  return parse_npy_header(text);
}

// How many numbers an array has, whose shape and width must give the bytes that there are.
int64_t expect_size(const NpyHeader& header, int64_t width, uint64_t data_length) {
  int64_t count = 1, bytes = 0;
  for (const int64_t dimension : header.shape)
    if (__builtin_mul_overflow(count, dimension, &count)) count = INT64_MAX;
  if (__builtin_mul_overflow(count, width, &bytes) || static_cast<uint64_t>(bytes) != data_length)
    throw Error(message("shape ", shape_text(header.shape), " of ", quoted(header.descr), ", but ", data_length,
                        " bytes of data"));
  return count;
}

}  // namespace

// An array of which the header was read and checked; its numbers come next.
struct NpzFile::Array {
  Array(const ZipMember& stored, bool mapped) : member(stored, mapped), header(read_header(member)) {}

  void expect_numbers() {
    type = find_npy_type(header.descr);
    if (!type) throw Error(message("numbers of type ", quoted(header.descr), "; these can be read: ", npy_types()));
    if (header.fortran_order) throw Error("in Fortran order: save numpy.ascontiguousarray of it");
    count = expect_size(header, type->width, member.left());
  }
  void read(const TakeFloats& take) {
    constexpr int64_t piece = 1 << 14;
    std::vector<std::byte> bytes(static_cast<size_t>(std::min(count, piece) * type->width));
    std::vector<float> floats(static_cast<size_t>(std::min(count, piece)));
    for (int64_t left = count; left > 0;) {
      const int64_t n = std::min(left, piece);
      member.read(bytes.data(), static_cast<size_t>(n * type->width));
      type->convert(bytes.data(), n, floats.data());
      take({floats.data(), static_cast<size_t>(n)});
      left -= n;
    }
    member.end();
  }

  MemberReader member;
  NpyHeader header;
  const NumberType* type = nullptr;
  int64_t count = 0;
};

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t dimension : shape) text += (text.empty() ? "" : ", ") + std::to_string(dimension);
  return "[" + text + "]";
}

NpzFile::NpzFile(const std::string& path) : path_(path), file_(path) {
  try {
    members_ = parse_zip_directory(file_->bytes());
  } catch (const Error& error) {
    throw Error(path_ + ": " + error.what());
  }
}

NpzFile::NpzFile(std::span<const std::byte> bytes, std::string name) : path_(std::move(name)) {
  try {
    members_ = parse_zip_directory(bytes);
  } catch (const Error& error) {
    throw Error(path_ + ": " + error.what());
  }
}

// What f makes of an array; errors get the file's and the array's names.
template <class F>
auto NpzFile::with(const std::string& name, F&& f) const {
  try {
    const auto found = members_.find(name);
    if (found == members_.end()) throw Error("absent");
    Array array(found->second, file_.has_value());
    return f(array);
  } catch (const Error& error) {
    throw Error(message(path_, ": array ", quoted(name), ": ", error.what()));
  }
}

std::vector<int64_t> NpzFile::shape(const std::string& name) const {
  return with(name, [](Array& array) {
    array.expect_numbers();
    return array.header.shape;
  });
}

void NpzFile::read(const std::string& name, const TakeFloats& take) const {
  with(name, [&](Array& array) {
    array.expect_numbers();
    array.read(take);
  });
}

FloatArray NpzFile::read(const std::string& name) const {
  FloatArray result;
  with(name, [&](Array& array) {
    array.expect_numbers();
    expect_memory("it", static_cast<uint64_t>(array.count) * sizeof(float));
    result.shape = array.header.shape;
    result.values.reserve(static_cast<size_t>(array.count));
    array.read([&](std::span<const float> piece) {
      result.values.insert(result.values.end(), piece.begin(), piece.end());
    });
  });
  return result;
}

std::optional<std::string> NpzFile::text(const std::string& name) const {
  constexpr size_t longest = 200;
  return with(name, [&](Array& array) -> std::optional<std::string> {
    const uint64_t bytes = array.member.left(), characters = bytes / sizeof(char32_t);
    if (!array.header.shape.empty() || characters == 0 || characters > longest ||
        array.header.descr != "<U" + std::to_string(characters) || bytes % sizeof(char32_t) != 0)
      return std::nullopt;
    std::vector<char32_t> wide(characters);
    array.member.read(reinterpret_cast<std::byte*>(wide.data()), bytes);
    array.member.end();
    std::string text;
    for (const char32_t c : wide)
      if (c != 0) text += c >= ' ' && c < 0x7f ? static_cast<char>(c) : '?';
    return text;
  });
}

}  // namespace meander
