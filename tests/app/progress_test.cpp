#include <meander/app/progress.h>

#include <doctest/doctest.h>

using namespace meander;

TEST_CASE("durations and counts are easy to read") {
  CHECK(duration_text(0.2) == "0 s");
  CHECK(duration_text(59.6) == "1 min 0 s");
  CHECK(duration_text(75) == "1 min 15 s");
  CHECK(duration_text(8000) == "2 h 13 min");
  CHECK(count_text(0) == "0");
  CHECK(count_text(999) == "999");
  CHECK(count_text(1000) == "1,000");
  CHECK(count_text(1234567) == "1,234,567");
  CHECK(count_text(-1000) == "-1,000");
  CHECK(count_text(-100) == "-100");
}
