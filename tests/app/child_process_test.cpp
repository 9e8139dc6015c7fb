#include <meander/app/child_process.h>

#include <doctest/doctest.h>
#include <sys/resource.h>

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

// What fails before the program is looked for has its own reason, not the last one of the search.
TEST_CASE("a child whose files cannot be is not one that is missing") {
  const std::string path = std::getenv("PATH");
  setenv("PATH", ("/none:" + path).c_str(), 1);
  const auto within = [](int resource, rlim_t most, auto&& f) {
    rlimit before;
    getrlimit(resource, &before);
    const rlimit limit = {most, before.rlim_max};
    setrlimit(resource, &limit);
    const auto ignored = std::signal(SIGXFSZ, SIG_IGN);
    std::string what;
    try {
      f();
    } catch (const ProgramMissing&) {
      what = "missing";
    } catch (const Failure& failure) {
      what = failure.what();
    }
    std::signal(SIGXFSZ, ignored);
    setrlimit(resource, &before);
    return what;
  };
  const std::string input(4096, 'x');
  CHECK(within(RLIMIT_FSIZE, 512, [&] { ChildProcess({"cat"}, input); }) == "cannot start cat: File too large");
  CHECK(within(RLIMIT_NOFILE, 3, [&] { ChildProcess({"cat"}, input); }) == "cannot start cat: Too many open files");
  CHECK(within(RLIMIT_NOFILE, 3, [&] { ChildProcess({"cat"}, ChildProcess::fed); }) ==
        "cannot start cat: Too many open files");
  setenv("PATH", path.c_str(), 1);
}
