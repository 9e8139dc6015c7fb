#include <meander/app/learning_curves.h>

#include <doctest/doctest.h>

#include "../folder.h"
#include <meander/kernels/error.h>

using namespace meander;

namespace {

Run run_with(const Folder& folder, const std::string& name, const std::string& rows) {
  write_text(folder.file(name), "step,q\n" + rows);
  return read_run(folder.file(name));
}

}  // namespace

// Protects the curves: a mean only where every seed has a value, an interval only from three seeds on.
TEST_CASE("a learning curve is the mean over the steps that all seeds share") {
  Folder folder;
  std::vector<Run> runs;
  runs.push_back(run_with(folder, "a-x-v1-s0.csv", "10,1\n20,2\n30,3\n"));
  runs.push_back(run_with(folder, "a-x-v1-s1.csv", "10,3\n20,\n30,5\n40,9\n"));
  runs.push_back(run_with(folder, "b-x-v1-s0.csv", "10,1\n"));
  runs.push_back(run_with(folder, "b-x-v1-s1.csv", "10,2\n"));
  runs.push_back(run_with(folder, "b-x-v1-s2.csv", "10,6\n"));
  runs.push_back(run_with(folder, "b-x-v1-s3.csv", "10,\n"));
  runs.push_back(run_with(folder, "a-y-v1-s0.csv", "10,7\n"));
  const auto groups = group_runs(std::move(runs));
  std::vector<std::string> left_out;
  const auto panels = learning_curves(groups, "q", left_out);
  CHECK(left_out == std::vector{folder.file("b-x-v1-s3.csv")});
  REQUIRE(panels.size() == 2);
  CHECK(panels[0].title == "x-v1");
  REQUIRE(panels[0].curves.size() == 2);
  const LearningCurve &two = panels[0].curves[0], &three = panels[0].curves[1];
  REQUIRE(two.mean.size() == 2);
  CHECK(two.mean[0].mean == 2);
  CHECK(two.mean[1].step == 30);
  CHECK(two.mean[1].mean == 4);
  CHECK(!two.has_interval());
  CHECK(three.has_interval());
  CHECK(three.mean[0].mean == 3);
  CHECK(three.mean[0].interval.low == 1);
  CHECK(three.mean[0].interval.high == 6);
  CHECK_THROWS_WITH_AS(learning_curves(groups, "qq", left_out), doctest::Contains("did you mean q?"), Error);
}
