#include <meander/app/sweep_report.h>

#include <doctest/doctest.h>

#include "../folder.h"

using namespace meander;

// Protects the table of a sweep: the last evaluation of each run counts, runs without one do not.
TEST_CASE("a row has the statistics of the last evaluations") {
  Folder folder;
  std::vector<Run> runs;
  const auto add = [&](const std::string& name, const std::string& rows) {
    write_text(folder.file(name), "step,evaluation_return_mean,updates_per_second\n" + rows);
    runs.push_back(read_run(folder.file(name)));
  };
  add("a-x-v1-s0.csv", "1,9,\n2,1,10\n3,,20\n");
  add("a-x-v1-s1.csv", "1,2,35\n");
  add("a-x-v1-s2.csv", "1,6,\n");
  add("a-x-v1-s3.csv", "1,,99\n");
  add("b-x-v1-s0.csv", "1,-1234.56,\n");
  add("c-x-v1-s0.csv", "1,,\n");
  const auto rows = sweep_rows(group_runs(std::move(runs)));
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].seeds == 3);
  CHECK(rows[0].mean == 3);
  CHECK(rows[0].interquartile_mean == doctest::Approx((0.25 * 1 + 2 + 0.25 * 6) / 1.5));
  REQUIRE(rows[0].mean_interval);
  CHECK(rows[0].mean_interval->low == 1);
  CHECK(rows[0].mean_interval->high == 6);
  CHECK(rows[0].updates_per_second == doctest::Approx((15 + 35) / 2.0));
  CHECK(!rows[1].mean_interval);
  CHECK(!rows[1].updates_per_second);
  CHECK(sweep_table(rows) ==
        "runs  seeds           mean [95 %]            IQM [95 %]  updates/s\n"
        "a         3  3.000 [1.000, 6.000]  2.500 [1.000, 6.000]       25.0\n"
        "b         1               -1234.6               -1234.6          -\n");
  CHECK(sweep_csv(rows) ==
        "algo,env,runs,seeds,mean,mean_low,mean_high,iqm,iqm_low,iqm_high,updates_per_second\n"
        "a,x-v1,a,3,3,1,6,2.5,1,6,25\n"
        "b,x-v1,b,1,-1234.56,,,-1234.56,,,\n");
}
