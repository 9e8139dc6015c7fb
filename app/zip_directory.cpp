#include <meander/app/zip_directory.h>

#include <bit>
#include <cstring>

#include <meander/core/json.h>
#include <meander/kernels/error.h>

namespace meander {

static_assert(std::endian::native == std::endian::little, "numbers are read as they lie in memory");

namespace {

constexpr uint32_t local_mark = 0x04034b50, entry_mark = 0x02014b50, end_mark = 0x06054b50, end64_mark = 0x06064b50,
                   locator_mark = 0x07064b50;
constexpr uint64_t local_length = 30, entry_length = 46, end_length = 22, end64_length = 56, locator_length = 20;
constexpr uint64_t most_members = 65'535;
constexpr uint64_t best_deflation = 1032;  // bytes that one byte of a deflated stream can stand for
constexpr uint32_t in_64_bits = 0xffffffff;  // the number stands in a record of 64 bits

[[noreturn]] void damaged(const char* what) { throw Error(message("truncated, or not a zip archive: ", what)); }

// Numbers at places within a stretch of bytes.
class Fields {
 public:
  Fields(std::span<const std::byte> bytes, uint64_t at, uint64_t length, const char* what) {
    if (at > bytes.size() || length > bytes.size() - at) damaged(what);
    bytes_ = bytes.subspan(at, length);
  }
  uint16_t two(size_t at) const { return number<uint16_t>(at); }
  uint32_t four(size_t at) const { return number<uint32_t>(at); }
  uint64_t eight(size_t at) const { return number<uint64_t>(at); }
  size_t size() const { return bytes_.size(); }
  std::string text() const { return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()}; }

 private:
  template <class T>
  T number(size_t at) const {
    T x;
    std::memcpy(&x, bytes_.data() + at, sizeof x);
    return x;
  }
  std::span<const std::byte> bytes_;
};

struct Directory {
  uint64_t at, length, members;
};

// The record at the end, before a comment of 65,535 bytes at most that ends with the archive.
uint64_t find_end(std::span<const std::byte> archive) {
  for (uint64_t comment = 0; comment <= 0xffff && comment + end_length <= archive.size(); ++comment) {
    const uint64_t at = archive.size() - end_length - comment;
    const Fields end(archive, at, end_length, "no end");
    if (end.four(0) == end_mark && end.two(20) == comment) return at;
  }
  damaged("it has no directory at its end");
}

Directory find_directory(std::span<const std::byte> archive) {
  uint64_t at = find_end(archive);
  const Fields end(archive, at, end_length, "no end");
  if (end.two(4) != 0 || end.two(6) != 0) damaged("it is one part of several");
  Directory directory{end.four(16), end.four(12), end.two(10)};
  if (directory.at == in_64_bits || directory.length == in_64_bits || directory.members == 0xffff) {
    if (at >= locator_length && Fields(archive, at - locator_length, 4, "").four(0) == locator_mark) {
      at = Fields(archive, at - locator_length, locator_length, "").eight(8);
      const Fields end64(archive, at, end64_length, "its end points beyond it");
      if (end64.four(0) != end64_mark) damaged("its end points to no end");
      directory = {end64.eight(48), end64.eight(40), end64.eight(32)};
    }
  }
  if (directory.members > most_members) throw Error(message(directory.members, " arrays, at most ", most_members,
                                                            " are read"));
  if (directory.at > at || directory.length > at - directory.at) damaged("its directory lies beyond its end");
  return directory;
}

// The numbers of 64 bits of an entry, in the order in which its extra fields give them.
class WideNumbers {
 public:
  explicit WideNumbers(std::span<const std::byte> extra) {
    for (uint64_t at = 0; at + 4 <= extra.size();) {
      const Fields head(extra, at, 4, "");
      const uint64_t length = head.two(2);
      if (length > extra.size() - at - 4) return;  // something else of another program's
      if (head.two(0) == 1) {
        rest_ = extra.subspan(at + 4, length);
        return;
      }
      at += 4 + length;
    }
  }
  uint64_t wide(uint32_t narrow) {
    if (narrow != in_64_bits) return narrow;
    const uint64_t number = Fields(rest_, 0, 8, "a length of 64 bits is missing").eight(0);
    rest_ = rest_.subspan(8);
    return number;
  }

 private:
  std::span<const std::byte> rest_;
};

std::span<const std::byte> stored_bytes(std::span<const std::byte> archive, uint64_t at, uint64_t length) {
  const Fields local(archive, at, local_length, "a member lies beyond the end");
  if (local.four(0) != local_mark) damaged("a member is not where the directory says");
  const uint64_t head = local_length + local.two(26) + local.two(28);
  Fields(archive, at, head, "a member lies beyond the end");
  Fields(archive, at + head, length, "a member lies beyond the end");
  return archive.subspan(at + head, length);
}

}  // namespace

std::map<std::string, ZipMember> parse_zip_directory(std::span<const std::byte> archive) {
  const Directory directory = find_directory(archive);
  const std::span<const std::byte> entries = archive.subspan(directory.at, directory.length);
  std::map<std::string, ZipMember> members;
  uint64_t at = 0;
  for (uint64_t i = 0; i < directory.members; ++i) {
    const Fields entry(entries, at, entry_length, "its directory is too short");
    if (entry.four(0) != entry_mark) damaged("its directory is damaged");
    const uint64_t name_length = entry.two(28), extra_length = entry.two(30);
    const Fields after(entries, at + entry_length, name_length + extra_length + entry.two(32),
                       "its directory is too short");
    std::string name = Fields(entries, at + entry_length, name_length, "").text();
    WideNumbers numbers(entries.subspan(at + entry_length + name_length, extra_length));
    at += entry_length + after.size();

    ZipMember member{entry.two(10), (entry.two(8) & 1) != 0, entry.four(16), numbers.wide(entry.four(24)), {}};
    const uint64_t length = numbers.wide(entry.four(20));
    member.stored = stored_bytes(archive, numbers.wide(entry.four(42)), length);
    if (name.ends_with(".npy")) name.resize(name.size() - 4);
    if (member.method == 0 ? member.size != length : member.size / best_deflation > length)
      throw Error(message("damaged: array ", quoted(name), ": ", member.size, " bytes, of which ", length,
                          " are stored"));
    if (!members.emplace(name, member).second) throw Error(message("array ", quoted(name), " stands twice"));
  }
  if (at != entries.size()) damaged("its directory is longer than its members");
  return members;
}

}  // namespace meander
