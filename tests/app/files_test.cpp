#include <meander/app/files.h>

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>

#include <meander/kernels/error.h>
#include "../folder.h"

using namespace meander;

namespace {

// Files of this process cannot grow beyond `bytes`: what a full disk looks like to a writer.
class FileLimit {
 public:
  explicit FileLimit(rlim_t bytes) {
    std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit = {bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileLimit() { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_;
};

}  // namespace

TEST_CASE("what is appended stays, and can be cut back") {
  Folder folder;
  const std::string path = folder.file("log");
  AppendFile(path).write("one\n");
  AppendFile(path).write("two\n");
  CHECK(read_text(path) == "one\ntwo\n");
  AppendFile(path, 4).write("three\n");
  CHECK(read_text(path) == "one\nthree\n");
  CHECK(AppendFile(path, 1000).size() == 10);  // never filled up with zeros
}

// A full disk is reported with the path, and leaves whole lines only.
TEST_CASE("a write that fails leaves no half line") {
  Folder folder;
  const std::string path = folder.file("metrics");
  AppendFile file(path);
  file.write("0123456789\n");
  {
    FileLimit limit(15);
    CHECK_THROWS_WITH_AS(file.write("9876543210\n"), doctest::Contains(path.c_str()), Failure);
  }
  CHECK(read_text(path) == "0123456789\n");
  file.write("more\n");
  CHECK(read_text(path) == "0123456789\nmore\n");
}

TEST_CASE("a file is replaced whole or not at all") {
  Folder folder;
  const std::string path = folder.file("config");
  replace_file(path, "old");
  {
    FileLimit limit(100);
    CHECK_THROWS_AS(replace_file(path, std::string(200, 'x')), Failure);
  }
  CHECK(read_text(path) == "old");
  CHECK(!std::filesystem::exists(path + ".partial"));
  replace_file(path, "new");
  CHECK(read_text(path) == "new");
  CHECK_THROWS_AS(replace_file(folder.file("none/config"), "x"), Failure);
}

// A link in a run folder may point to a file that somebody else needs.
TEST_CASE("symbolic links are not followed, and what is no file is not written to") {
  Folder folder;
  write_text(folder.file("theirs"), "precious");
  std::filesystem::create_symlink("theirs", folder.file("link"));
  std::filesystem::create_symlink("theirs", folder.file("file.partial"));
  CHECK_THROWS_WITH_AS(AppendFile(folder.file("link")), doctest::Contains("symbolic link"), Failure);
  CHECK_THROWS_AS(AppendFile(folder.file("link"), 0), Failure);
  REQUIRE(mkfifo(folder.file("pipe").c_str(), 0600) == 0);
  CHECK_THROWS_AS(AppendFile(folder.file("pipe")), Failure);  // and does not wait for a reader
  CHECK_THROWS_AS(AppendFile("/dev/null"), Failure);
  replace_file(folder.file("link"), "new");  // takes the link's place
  replace_file(folder.file("file"), "new");
  CHECK(read_text(folder.file("link")) == "new");
  CHECK(!std::filesystem::is_symlink(folder.file("link")));
  CHECK(read_text(folder.file("file")) == "new");
  CHECK(read_text(folder.file("theirs")) == "precious");
}

// What is checked last may refuse: then nothing has changed.
TEST_CASE("a file whose last check fails is not replaced") {
  Folder folder;
  const std::string path = folder.file("config");
  replace_file(path, "old");
  CHECK_THROWS_AS(replace_file(path, "new", [] { throw Failure("no longer ours"); }), Failure);
  CHECK(read_text(path) == "old");
  CHECK(folder.files() == 1);
}
