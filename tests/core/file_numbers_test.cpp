#include <meander/core/file_numbers.h>

#include <doctest/doctest.h>

#include <cmath>

#include <meander/kernels/error.h>

using namespace meander;

TEST_CASE("numbers of files are what they are used for, or an error that says which") {
  CHECK(whole_number("x", 3.0, 0, 3) == 3);
  CHECK(whole_number("x", -0.0, 0, 3) == 0);
  CHECK(whole_number("x", 9007199254740992.0, 0, int64_t{1} << 53) == int64_t{1} << 53);
  for (const double value : {double{NAN}, double{INFINITY}, -double{INFINITY}, -1.0, 4.0, 2.5, 1e300})
    CHECK_THROWS_WITH_AS(whole_number("step", value, 0, 3),
                         doctest::Contains("step: expected a whole number from 0 to 3"), Error);
  CHECK(whole_number("x", "3", 0, 3) == 3);
  for (const char* text : {"", "4", "-1", "3x", " 3", "3.0", "0x3", "99999999999999999999", "nan", "\n"})
    CHECK_THROWS_AS(whole_number("x", text, 0, 3), Error);
  CHECK(real_number("x", "0.25", 0, 1) == 0.25);
  for (const char* text : {"", "nan", "inf", "1e999", "-0.1", "1,5", "0.5 "})
    CHECK_THROWS_AS(real_number("x", text, 0, 1), Error);
  for (const double value : {double{NAN}, double{INFINITY}, -0.5})
    CHECK_THROWS_AS(real_number("x", value, 0, 1), Error);
}

TEST_CASE("the first number that is not finite is named") {
  const float values[] = {0, -1, INFINITY, NAN};
  CHECK_NOTHROW(expect_finite("x", std::span(values, 2)));
  CHECK_THROWS_WITH_AS(expect_finite("moments", std::span(values, 2), 0),
                       doctest::Contains("moments: number 1 is -1"), Error);
  CHECK_THROWS_WITH_AS(expect_finite("x", std::span(values)), doctest::Contains("number 2 is inf"), Error);
  CHECK_THROWS_AS(expect_finite("x", std::span(values).subspan(3)), Error);
}
