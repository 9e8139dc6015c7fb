#include <meander/app/child_process.h>

#include <doctest/doctest.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "../folder.h"

using namespace meander;

// Protects sweeps and plots from losing a child's words, its end, or the child itself.
TEST_CASE("a child reads its input and gives back output, errors and status") {
  ChildProcess child({"sh", "-c", "cat; echo wrong >&2; exit 3"}, "some\nlines\n");
  CHECK(child.wait() == 3);
  CHECK(child.ended());
  CHECK(child.output() == "some\nlines\n");
  CHECK(child.error() == "wrong\n");
}

TEST_CASE("a child is fed piece by piece, and may stop reading") {
  ChildProcess child({"wc", "-c"}, ChildProcess::fed);
  const std::string piece(100'000, 'x');
  for (int i = 0; i < 30; ++i) CHECK(child.write(piece));
  child.end_input();
  CHECK(child.wait() == 0);
  CHECK(child.output() == "3000000\n");
  ChildProcess full({"sh", "-c", "exit 4"}, ChildProcess::fed);
  while (full.write(piece)) {}  // no SIGPIPE
  CHECK(full.wait() == 4);
}

TEST_CASE("a child is asked to end, or ended") {
  ChildProcess child({"sh", "-c", "sleep 100"});
  CHECK(!child.ended());
  child.terminate();
  CHECK(child.wait() == 128 + SIGTERM);
  const ChildProcess killed({"sleep", "100"});  // by its destructor
}

TEST_CASE("a program in the current folder is not started, whatever PATH says") {
  const Folder folder;
  const auto program = [&](const std::string& name) {
    write_text(folder.file(name), "#!/bin/sh\necho started\n");
    std::filesystem::permissions(folder.file(name), std::filesystem::perms::owner_all);
  };
  program("meander-draws");
  program("echo");
  std::filesystem::create_directory(folder.file("bin"));
  const std::filesystem::path before = std::filesystem::current_path();
  const std::string path = std::getenv("PATH");
  std::filesystem::current_path(folder.path());
  for (const std::string here : {".:", ":", "bin/..:"}) {
    setenv("PATH", (here + path + ":.").c_str(), 1);
    CHECK_THROWS_AS(ChildProcess({"meander-draws"}), ProgramMissing);
    ChildProcess child({"echo", "the system's"});
    child.wait();
    CHECK(child.output() == "the system's\n");
  }
  setenv("PATH", folder.path().c_str(), 1);
  ChildProcess child({"echo"});
  child.wait();
  CHECK(child.output() == "started\n");
  setenv("PATH", path.c_str(), 1);
  std::filesystem::current_path(before);
}

TEST_CASE("a program that is not there") {
  CHECK_THROWS_WITH_AS(ChildProcess({"meander-no-such-program"}), "meander-no-such-program is missing", ProgramMissing);
  CHECK_THROWS_AS(ChildProcess({"/"}), Failure);
}
