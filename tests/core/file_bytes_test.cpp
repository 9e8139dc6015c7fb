// Protects against waiting for a pipe, reading a device without end, and a file that is longer than what it is read
// for.
#include <meander/core/file_bytes.h>

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <cstring>
#include <string>
#include <utility>

#include "../folder.h"
#include <meander/kernels/error.h>

using namespace meander;

TEST_CASE("only regular files are read") {
  const Folder folder;
  REQUIRE(::mkfifo(folder.file("pipe").c_str(), 0600) == 0);
  const auto refused = [](const std::string& path, const char* part) {
    CHECK_THROWS_WITH_AS(FileBytes{path}, doctest::Contains(part), Error);
    CHECK_THROWS_WITH_AS(read_file(path, 1000), doctest::Contains(part), Error);
  };
  refused(folder.file("pipe"), "pipe: not a regular file");
  refused("/dev/zero", "/dev/zero: not a regular file");
  refused(folder.path(), "a folder, not a file");
  refused(folder.file("missing"), "missing: cannot open: No such file");
}

TEST_CASE("the bytes of a file, mapped and as text") {
  const Folder folder;
  std::string text(100'000, 'x');
  text[70'000] = 'y';
  write_text(folder.file("file"), text);
  FileBytes opened(folder.file("file"));
  const FileBytes file(std::move(opened));
  const auto same = [&] {
    return file.bytes().size() == text.size() && std::memcmp(file.bytes().data(), text.data(), text.size()) == 0;
  };
  CHECK(same());
  forget(file.bytes());  // and again from the disk
  CHECK(same());
  CHECK(read_file(folder.file("file"), 100'000) == text);
  CHECK_THROWS_WITH_AS(read_file(folder.file("file"), 99'999), doctest::Contains("100000 bytes, at most 99999"), Error);
  write_text(folder.file("file"), "");
  CHECK(FileBytes(folder.file("file")).bytes().empty());
  CHECK(read_file(folder.file("file"), 0) == "");
}
