#include <meander/app/files.h>

#include <doctest/doctest.h>
#include <sys/resource.h>

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

// Two processes in one run folder would mix their lines.
TEST_CASE("one writer at a time") {
  Folder folder;
  const AppendFile first(folder.file("log"), INT64_MAX, AppendFile::exclusive);
  CHECK_THROWS_AS(AppendFile(folder.file("log"), INT64_MAX, AppendFile::exclusive), Error);
}
