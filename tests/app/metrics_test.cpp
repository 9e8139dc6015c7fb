#include <meander/app/metrics.h>

#include <doctest/doctest.h>

#include "../folder.h"
#include <meander/kernels/error.h>

using namespace meander;

// Protects every figure and table made from a run: cells land in their column and at their step, empty ones and numbers
// that are not finite are no values, and a damaged file is an error with its line.
TEST_CASE("metrics give each column's values with their steps") {
  Folder folder;
  const std::string path = folder.file("metrics.csv");
  write_text(path, "step,wall_seconds,q_mean,alpha\n10,0.5,,1\n20,0.75,-2.5e3,\n30,1,nan,inf\n40,1.5,7,2\n50,2,");
  const Metrics metrics(path);
  CHECK(metrics.columns() == std::vector<std::string>{"step", "wall_seconds", "q_mean", "alpha"});
  const auto q = metrics.values("q_mean");
  REQUIRE(q.size() == 2);
  CHECK(q[0].step == 20);
  CHECK(q[0].value == -2500);
  CHECK(q[1].step == 40);
  CHECK(q[1].value == 7);
  CHECK(metrics.values("alpha").size() == 2);
  CHECK(metrics.values("step").back().step == 40);  // the last line has no end: it is being written
  CHECK_THROWS_WITH_AS(metrics.values("q_maen"), doctest::Contains("did you mean q_mean?"), Error);
}

TEST_CASE("columns that had another name") {
  Folder folder;
  const std::string path = folder.file("metrics.csv");
  write_text(path, "step,q\n10,3\n");
  const Metrics metrics(path, {{"q", "q_mean"}});
  CHECK(metrics.columns().back() == "q_mean");
  CHECK(metrics.values("q_mean").size() == 1);
  CHECK(metrics.values("q").size() == 1);
}

TEST_CASE("what is not metrics is refused with the place") {
  Folder folder;
  const std::string path = folder.file("metrics.csv");
  CHECK_THROWS_AS(Metrics{path}, Error);
  const struct {
    const char* text;
    const char* part;
  } cases[] = {{"step,a,b,a\n", "column 'a' is there twice"}, {"step,x\n1.5,2\n", ":2: expected a step"},
               {"step,x\n-1,2\n", ":2: expected a step"}, {"step,x\n1e300,2\n", ":2: expected a step"},
               {"step,x\n0x1,2\n", ":2: expected a number"}, {"", "cannot read"},
               {"a,b\n1,2\n", "first column"}, {"step,x\n1,2\n2,y\n", ":3: expected a number"},
               {"step,x\n1\n", ":2: expected a step and 1"}, {"step,x\n,2\n", ":2: expected a step"}};
  for (const auto& [text, part] : cases) {
    write_text(path, text);
    CHECK_THROWS_WITH_AS(Metrics{path}, doctest::Contains(part), Error);
  }
}

// What is no table of a run takes neither the memory nor the time of one.
TEST_CASE("two million columns, and a line without an end") {
  Folder folder;
  const std::string path = folder.file("metrics.csv");
  std::string names = "step";
  for (int i = 0; i < 4095; ++i) names += ",c" + std::to_string(i);
  write_text(path, names + "\n");
  CHECK(Metrics(path).columns().size() == 4096);
  write_text(path, names + ",x\n");
  CHECK_THROWS_WITH_AS(Metrics{path}, doctest::Contains("more than 4096 names"), Error);
  write_text(path, std::string(20 << 20, ','));
  CHECK_THROWS_WITH_AS(Metrics{path}, doctest::Contains("more than 4096 names"), Error);
  write_text(path, "step," + std::string(20 << 20, 'x'));
  CHECK_THROWS_WITH_AS(Metrics{path}, doctest::Contains("bytes"), Error);
  write_text(path, "step,x\n1," + std::string(20 << 20, '1'));
  CHECK_THROWS_WITH_AS(Metrics{path}, doctest::Contains(":2: expected a step and 1"), Error);
}
