// Protects reading .npz files: a directory that contradicts itself or its archive is refused, whatever it says.
#include <meander/app/zip_directory.h>

#include <doctest/doctest.h>
#include <zlib.h>

#include <cstring>
#include <string>
#include <vector>

#include "../folder.h"
#include "../little_endian.h"
#include "npz_bytes.h"
#include <meander/app/npz_file.h>
#include <meander/kernels/error.h>

using namespace meander;

namespace {

std::span<const std::byte> as_bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

// An archive of stored members, of which everything can be said wrongly.
struct Archive {
  struct Member {
    std::string name, data;
    int flags = 0, method = 0;
    int64_t more = 0;   // said of the unpacked size beyond the true one
    bool wide = false;  // lengths in 64 bits
  };
  std::vector<Member> members;
  std::string comment = {};
  bool wide = false;           // the end in 64 bits
  int64_t more_members = 0;    // said beyond the true number

  std::string text() const {
    std::string all, directory;
    for (const Member& m : members) {
      const std::string start = little(20, 2) + little(m.flags, 2) + little(m.method, 2) + little(0, 4) +
          little(crc32(0, reinterpret_cast<const Bytef*>(m.data.data()), static_cast<uInt>(m.data.size())), 4);
      const uint64_t size = m.data.size() + static_cast<uint64_t>(m.more);
      const std::string lengths = m.wide ? std::string(8, '\xff') : little(m.data.size(), 4) + little(size, 4);
      const std::string extra = m.wide ? little(9, 2) + little(2, 2) + "xx" + little(1, 2) + little(16, 2) +
                                             little(size, 8) + little(m.data.size(), 8)
                                       : "";
      directory += "PK\1\2" + little(20, 2) + start + lengths + little(m.name.size(), 2) + little(extra.size(), 2) +
                   std::string(10, '\0') + little(all.size(), 4) + m.name + extra;
      all += "PK\3\4" + start + lengths + little(m.name.size(), 2) + little(0, 2) + m.name + m.data;
    }
    const uint64_t at = all.size(), count = members.size() + static_cast<uint64_t>(more_members);
    all += directory;
    if (wide) {
      const uint64_t end = all.size();
      all += "PK\6\6" + little(44, 8) + little(45, 4) + little(0, 8) + little(count, 8) + little(count, 8) +
             little(directory.size(), 8) + little(at, 8);
      all += "PK\6\7" + little(0, 4) + little(end, 8) + little(1, 4);
      all += "PK\5\6" + little(0, 4) + std::string(12, '\xff');
    } else {
      all += "PK\5\6" + little(0, 4) + little(count, 2) + little(count, 2) + little(directory.size(), 4) +
             little(at, 4);
    }
    return all + little(comment.size(), 2) + comment;
  }
};

// The line with which an archive is refused.
std::string refusal(const Archive& archive) {
  const std::string text = archive.text();
  try {
    parse_zip_directory(as_bytes(text));
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

bool says(const std::string& line, const char* part) {
  INFO(line);
  CHECK(line.find('\n') == std::string::npos);
  return line.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a directory names its members, also with lengths of 64 bits and a comment") {
  for (const bool wide : {false, true}) {
    Archive archive{{{"a.npy", "first", 0, 0, 0, wide}, {"b", "", 0, 0, 0, wide}}, "a comment", wide};
    const std::string text = archive.text();
    const auto members = parse_zip_directory(as_bytes(text));
    REQUIRE(members.size() == 2);
    const ZipMember& a = members.at("a");
    CHECK(std::string(reinterpret_cast<const char*>(a.stored.data()), a.stored.size()) == "first");
    CHECK(a.size == 5);
    CHECK(a.checksum == crc32(0, reinterpret_cast<const Bytef*>("first"), 5));
    CHECK(members.at("b").stored.empty());
    // Cut anywhere it is none.
    for (size_t length = 0; length < text.size(); ++length)
      CHECK_THROWS_AS(parse_zip_directory(as_bytes(text.substr(0, length))), Error);
  }
  CHECK(parse_zip_directory(as_bytes(Archive{}.text())).empty());
}

TEST_CASE("a directory that contradicts itself is refused") {
  CHECK(says(refusal({{{"a.npy", "x"}, {"a.npy", "y"}}}), "array \"a\" stands twice"));
  CHECK(says(refusal({{{"a.npy", "x"}, {"a", "y"}}}), "array \"a\" stands twice"));
  CHECK(says(refusal({{{"a\n.npy", "x", 0, 0, 1}}}), "array \"a\\n\": 2 bytes, of which 1 are stored"));
  CHECK(says(refusal({{{"a", "x", 0, 8, 1032}}}), "1033 bytes, of which 1 are stored") == false);
  CHECK(says(refusal({{{"a", "x", 0, 8, 2064}}}), "2065 bytes, of which 1 are stored"));
  CHECK(says(refusal({{{"a", "x", 0, 8, INT64_MAX, true}}}), "bytes, of which 1 are stored"));
  CHECK(says(refusal({{{"a", "x"}}, "", false, 1}), "too short"));
  CHECK(says(refusal({{{"a", "x"}}, "", false, -1}), "longer than its members"));
  CHECK(says(refusal({{{"a", "x"}}, "", true, 70000}), "70001 arrays, at most 65535"));
  CHECK(says(refusal({{{"a", "x"}}, "", true, INT64_MAX}), "arrays, at most 65535"));
}

TEST_CASE("a damaged directory points to nothing outside its archive") {
  Archive archive{{{"a.npy", "first", 0, 0, 0, true}, {"b", "second"}}, "c", true};
  const std::string whole = archive.text();
  int read = 0;
  for (size_t at = 0; at < whole.size(); ++at)
    for (const char wrong : {'\0', '\1', '\x7f', '\xff'}) {
      std::string damaged = whole;
      damaged[at] = wrong;
      try {
        unsigned sum = 0;  // the address sanitizer watches
        for (const auto& [name, member] : parse_zip_directory(as_bytes(damaged)))
          for (const std::byte b : member.stored) sum += static_cast<unsigned>(b);
        read += sum > 0;
      } catch (const Error&) {
      }
    }
  CHECK(read > 0);
}

TEST_CASE("members that cannot be unpacked are named") {
  const auto error_of = [](const std::string& text) -> std::string {
    try {
      NpzFile(as_bytes(text), "x.npz").read("a");
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  const std::string array = npy<float>("<f4", "(2,)", {1, 2});
  CHECK(error_of(Archive{{{"a.npy", array}}}.text()) == "");
  CHECK(says(error_of(Archive{{{"a.npy", array, 1}}}.text()), "x.npz: array \"a\": encrypted"));
  CHECK(says(error_of(Archive{{{"a.npy", array, 0, 12}}}.text()), "packed by method 12"));
  CHECK(says(error_of(Archive{{{"a.npy", array, 0, 8}}}.text()), "damaged"));  // not deflated
  CHECK(says(error_of(Archive{{{"b.npy", array}}}.text()), "x.npz: array \"a\": absent"));
  std::string text = Archive{{{"a.npy", array}}}.text();
  text[text.find(std::string("\0\0\x80\x3f", 4))] ^= 1;
  CHECK(says(error_of(text), "its checksum is another"));

  // Deflated: more than is said, less, cut short.
  const Folder folder;
  write_zip(folder.file("deflated.npz"), {{"a", npy<float>("<f4", "(1000,)", std::vector<float>(1000))}},
            ZIP_CM_DEFLATE);
  const std::string deflated = read_text(folder.file("deflated.npz"));
  CHECK(error_of(deflated) == "");
  const size_t entry = deflated.rfind("PK\1\2");
  for (const int change : {-4, 4}) {
    std::string changed = deflated;
    uint32_t size;
    std::memcpy(&size, changed.data() + entry + 24, 4);
    size += static_cast<uint32_t>(change);
    std::memcpy(changed.data() + entry + 24, &size, 4);
    CHECK(says(error_of(changed), "of data"));  // its header says how many bytes they are
  }
}
