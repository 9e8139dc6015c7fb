#include <meander/app/sweep_grid.h>

#include <doctest/doctest.h>

#include <meander/kernels/error.h>

using namespace meander;

// Protects what a sweep runs and how its folders are called: a name that changes would start finished runs again.
TEST_CASE("the grid is the product of the values and the seeds") {
  const auto runs = grid_runs({parse_grid_axis("alpha=0.05,0.1"), parse_grid_axis("atoms=11"),
                               parse_grid_axis("mixture=ess,half")}, parse_seeds("3..4"));
  REQUIRE(runs.size() == 8);
  CHECK(runs[0].name == "alpha=0.05,mixture=ess,s3");
  CHECK(runs[1].name == "alpha=0.05,mixture=ess,s4");
  CHECK(runs[2].name == "alpha=0.05,mixture=half,s3");
  CHECK(runs[7].name == "alpha=0.1,mixture=half,s4");
  CHECK(runs[7].seed == 4);
  REQUIRE(runs[7].assignments.size() == 3);
  CHECK(runs[7].assignments[1].key == "atoms");
  CHECK(runs[7].assignments[1].text == "11");
  CHECK(grid_runs({}, {7}).front().name == "s7");
}

TEST_CASE("a run's name is one folder, whatever the values are") {
  const auto name_of = [](const std::string& value) { return grid_runs({{"data", {value, "x"}}}, {0}).front().name; };
  CHECK(name_of("a/../b c.npz") == "data=a%2f..%2fb%20c.npz,s0");
  CHECK(name_of("a%2fb") != name_of("a/b"));
  const std::string one = name_of(std::string(300, 'a')), other = name_of(std::string(299, 'a') + "b");
  CHECK(one.size() == 200);
  CHECK(one != other);
}

TEST_CASE("seeds are a range or a list") {
  CHECK(parse_seeds("1e3,9007199254740992") == std::vector<int64_t>{1000, 9007199254740992});
  CHECK(parse_seeds("0..2") == std::vector<int64_t>{0, 1, 2});
  CHECK(parse_seeds("5..5") == std::vector<int64_t>{5});
  CHECK(parse_seeds("0,7,1") == std::vector<int64_t>{0, 7, 1});
  for (const char* text : {"", "a", "1,", "1..", "..3", "4..2", "0-4", "-1", "1,1", "0..1000000000", "1..2..3",
                           "1.5", "0x1", "+1", " 1", "9007199254740993", "nan"})
    CHECK_THROWS_WITH_AS(parse_seeds(text), doctest::Contains("--seeds"), Error);
}

TEST_CASE("a grid that cannot be meant is refused") {
  for (const char* text : {"alpha", "=1", "alpha=", "alpha=1,,2", "alpha=1,1", "seed=1,2", "steps=5", "threads=2",
                           "overlap=true,false"})
    CHECK_THROWS_WITH_AS(parse_grid_axis(text), doctest::Contains("--set"), Error);
  CHECK_THROWS_WITH_AS(grid_runs({{"a", {"1"}}, {"a", {"2"}}}, {0}), doctest::Contains("twice"), Error);
  const std::vector<std::string> many(101, "1");
  CHECK_THROWS_WITH_AS(grid_runs({{"a", many}, {"b", many}}, {0}), doctest::Contains("10000"), Error);
}
