#include <meander/app/run_folder.h>

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <filesystem>

#include <meander/kernels/error.h>
#include "../folder.h"

using namespace meander;
namespace fs = std::filesystem;

// Nothing is created for a run that cannot start, and nothing that is there is used.
TEST_CASE("run folders") {
  Folder folder;
  const RunConfig config = resolve("mfpo", "Pendulum-v1", nullptr, {});
  CHECK(create_run_folder(folder.file("a/b"), config) == folder.file("a/b"));
  CHECK(create_run_folder(folder.file("a/b"), config) == folder.file("a/b"));  // empty: still unused
  write_text(folder.file("a/b/notes"), "mine");
  CHECK_THROWS_WITH_AS(create_run_folder(folder.file("a/b"), config), doctest::Contains("not empty"), Error);
  CHECK_THROWS_WITH_AS(create_run_folder(folder.file("a/b/notes/c"), config), doctest::Contains("--out"), Error);
  CHECK_THROWS_AS(create_run_folder(folder.file("a/b/notes"), config), Error);
  CHECK_THROWS_AS(create_run_folder(folder.file("new/" + std::string(300, 'x')), config), Error);
  CHECK(!fs::exists(folder.file("new")));
}

TEST_CASE("a start that fails leaves what was there before") {
  Folder folder;
  const RunConfig config = resolve("mfpo", "Pendulum-v1", nullptr, {});
  const auto begin = [&](const std::string& out, bool kept) {
    NewRunFolder made(out, config);
    for (const char* name : {"config.toml", "metrics.csv", "log.txt", "config.toml.partial",
                             "events.out.tfevents.12.meander"})
      write_text(out + "/" + name, "x");
    made.keep(kept);
  };
  begin(folder.file("a/b/c"), false);
  CHECK(folder.files() == 0);
  fs::create_directories(folder.file("mine/empty"));
  fs::create_directory_symlink("mine/empty", folder.file("link"));
  begin(folder.file("mine/empty"), false);
  begin(folder.file("link"), false);
  CHECK(fs::is_empty(folder.file("mine/empty")));
  CHECK(fs::is_symlink(folder.file("link")));
  begin(folder.file("a/b/c"), true);
  CHECK(read_text(folder.file("a/b/c/config.toml")) == "x");
  CHECK_THROWS_AS(begin(folder.file("a/b/c"), false), Error);  // not empty, and not touched
  CHECK(read_text(folder.file("a/b/c/log.txt")) == "x");
}

// That it cannot be told what is in it is no reason to say that something is.
TEST_CASE("a folder that cannot be looked into") {
  Folder folder;
  const RunConfig config = resolve("mfpo", "Pendulum-v1", nullptr, {});
  fs::create_directory(folder.file("run"));
  rlimit before;
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit none = {3, before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &none);
  std::string what;
  try {
    is_unused(folder.file("run"));
  } catch (const Failure& failure) {
    what = failure.what();
  }
  setrlimit(RLIMIT_NOFILE, &before);
  CHECK(what == "cannot look into the folder " + folder.file("run") + ": Too many open files");
}

// A kill between the claim and the configuration, or a loss of power.
TEST_CASE("what a start that was cut short leaves can be used") {
  Folder folder;
  const RunConfig config = resolve("mfpo", "Pendulum-v1", nullptr, {});
  fs::create_directory(folder.file("run"));
  write_text(folder.file("run/claim.1.partial-99-1"), "");
  write_text(folder.file("run/config.toml.partial"), "algo");
  CHECK(is_unused(folder.file("run")));
  CHECK(create_run_folder(folder.file("run"), config) == folder.file("run"));
  {
    const NewRunFolder first(folder.file("run"), config);
    CHECK_THROWS_WITH_AS(NewRunFolder(folder.file("run"), config), doctest::Contains("is writing to it"), Error);
  }
}
