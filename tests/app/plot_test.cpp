// `meander plot` as a user meets it.

#include <doctest/doctest.h>

#include <cstdlib>

#include "command.h"

using namespace meander;
namespace fs = std::filesystem;

TEST_CASE("plot draws runs and files, or says that gnuplot is missing") {
  Folder folder;
  CHECK(meander_in(folder, small_run({"--steps", "180", "--out", "run", "--quiet"})).status == 0);
  write_text(folder.file("mfpo-hopper-v4-s0.csv"), "step,evaluation_return_mean\n10,1\n20,2\n");
  const bool there = std::system("gnuplot --version >/dev/null 2>&1") == 0;
  for (const char* name : {"curves.png", "curves.svg"}) {
    const Result plot = meander_in(folder, {"plot", "run", "mfpo-hopper-v4-s0.csv", "--out", name});
    CHECK(plot.status == (there ? 0 : 1));
    CHECK(fs::exists(folder.file(name)) == there);
    if (there) {
      CHECK(plot.out == std::string("wrote ") + name + "\n");
      CHECK(plot.error == "");
      const std::string picture = read_text(folder.file(name));
      CHECK((picture.starts_with("\x89PNG") || contains(picture, "</svg>")));
    } else {
      CHECK(plot.error == "meander: gnuplot is missing: apt-get install gnuplot-nox\n");
    }
  }
}

TEST_CASE("plot without gnuplot, or with one that fails, says so and leaves nothing") {
  Folder folder;
  write_text(folder.file("a.csv"), "step,evaluation_return_mean\n10,1\n");
  const std::string before = std::getenv("PATH");
  setenv("PATH", folder.path().c_str(), 1);
  const Result missing = meander_in(folder, {"plot", "a.csv"});
  write_text(folder.file("gnuplot"), "#!/bin/sh\necho 'line 1: no terminal' >&2\nexit 1\n");
  fs::permissions(folder.file("gnuplot"), fs::perms::owner_all);
  const Result fails = meander_in(folder, {"plot", "a.csv"});
  setenv("PATH", before.c_str(), 1);
  CHECK(missing.status == 1);
  CHECK(missing.error == "meander: gnuplot is missing: apt-get install gnuplot-nox\n");
  CHECK(fails.status == 1);
  CHECK(fails.error == "meander: gnuplot cannot draw curves.png: line 1: no terminal\n");
  CHECK(!fs::exists(folder.file("curves.png")));
}

TEST_CASE("plot refuses in one line what it cannot draw") {
  Folder folder;
  write_text(folder.file("a.csv"), "step,evaluation_return_mean,alpha\n10,,\n");
  write_text(folder.file("text"), "hello");
  fs::create_directory(folder.file("empty"));
  const struct {
    Words words;
    std::string part;
  } cases[] = {
      {{"plot"}, "RUN"},
      {{"plot", "none"}, "none: no such run"},
      {{"plot", "text"}, "neither"},
      {{"plot", "empty"}, "empty/config.toml"},
      {{"plot", "a.csv"}, "no run has a value of evaluation_return_mean yet"},
      {{"plot", "a.csv", "--column", "alhpa"}, "did you mean alpha?"},
      {{"plot", "a.csv", "--out", "a.pdf"}, ".png or .svg"},
      {{"plot", "a.csv", "a.csv"}, "leave out one"},
  };
  for (const auto& [words, part] : cases) {
    const Result result = meander_in(folder, words);
    CAPTURE(result.error);
    CHECK(result.status == 2);
    CHECK(contains(result.error, part));
    CHECK(is_one_line(result.error));
  }
}
