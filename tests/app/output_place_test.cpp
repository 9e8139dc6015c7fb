// Protects what was made in hours from a place that cannot take it, and users' files from ours.
#include <meander/app/output_place.h>

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../folder.h"
#include <meander/kernels/error.h>

using namespace meander;
namespace fs = std::filesystem;

namespace {

// What the message says where the file is.
std::string kept_in(const std::string& message) {
  const std::string words = "what was made is in ";
  const size_t at = message.find(words);
  return at == std::string::npos ? "" : message.substr(at + words.size());
}

}  // namespace

TEST_CASE("a file gets to its place, and nothing beside it is touched") {
  Folder folder;
  const std::string path = folder.file("a.svg");
  write_text(path + ".partial", "mine");
  const OutputPlace place(path);
  CHECK(folder.files() == 1);
  place.put("one");
  CHECK(read_text(path) == "one");
  place.put("two");
  CHECK(read_text(path) == "two");
  CHECK(read_text(path + ".partial") == "mine");
  CHECK(folder.files() == 2);
}

TEST_CASE("a name as long as names may be") {
  Folder folder;
  const std::string path = folder.file(std::string(251, 'a') + ".svg");
  OutputPlace(path).put("one");
  CHECK(read_text(path) == "one");
  CHECK_THROWS_WITH_AS(OutputPlace(folder.file(std::string(252, 'a') + ".svg")), doctest::Contains("too long"), Error);
}

TEST_CASE("a place that cannot take a file is known before") {
  Folder folder;
  fs::create_directory(folder.file("folder.svg"));
  write_text(folder.file("file"), "");
  REQUIRE(mkfifo(folder.file("fifo.svg").c_str(), 0600) == 0);
  for (const std::string name : {"none/a.svg", "folder.svg", "file/a.svg", "fifo.svg"})
    CHECK_THROWS_WITH_AS(OutputPlace(folder.file(name)), doctest::Contains(name.c_str()), Error);
  CHECK_THROWS_WITH_AS(OutputPlace("/proc/a.svg"), doctest::Contains("cannot write /proc/a.svg"), Error);
  if (geteuid() != 0) {
    fs::create_directory(folder.file("closed"));
    fs::permissions(folder.file("closed"), fs::perms::owner_read | fs::perms::owner_exec);
    CHECK_THROWS_WITH_AS(OutputPlace(folder.file("closed/a.svg")), doctest::Contains("Permission denied"), Error);
  }
}

TEST_CASE("a file that cannot get to its place is kept elsewhere") {
  Folder folder;
  const std::string path = folder.file("sub/a.svg");
  fs::create_directory(folder.file("sub"));
  const OutputPlace place(path);
  fs::remove(folder.file("sub"));
  std::string said;
  try {
    place.put("made");
  } catch (const Failure& failure) {
    said = failure.what();
  }
  CAPTURE(said);
  CHECK(said.starts_with(path + ": cannot write: "));
  const std::string kept = kept_in(said);
  CHECK(kept.ends_with("/a.svg"));
  CHECK(read_text(kept) == "made");
  if (!kept.empty()) fs::remove_all(fs::path(kept).parent_path());
}

TEST_CASE("where it cannot be kept either, nothing is left") {
  Folder folder;
  const OutputPlace place(folder.file("a.svg"));
  int tried = 0;
  const auto fails = [&](const std::string& name) {
    ++tried;
    write_text(name, "half");
    throw Failure("cannot write " + name + ": full");
  };
  const std::string complaint = "cannot write " + folder.file("a.svg") + ": full";
  CHECK_THROWS_WITH_AS(place.put(fails), complaint.c_str(), Failure);
  CHECK(tried == 2);
  CHECK(folder.files() == 0);
}

TEST_CASE("a file that came in between is replaced only where that was said") {
  Folder folder;
  const std::string path = folder.file("a.npz");
  const OutputPlace place(path, OutputPlace::kept);
  write_text(path, "another's");
  std::string said;
  try {
    place.put("made");
  } catch (const Failure& failure) {
    said = failure.what();
  }
  CHECK(read_text(path) == "another's");
  CHECK(kept_in(said).starts_with(folder.path() + "/"));
  CHECK(read_text(kept_in(said)) == "made");
}
