#include <meander/app/gnuplot.h>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include <meander/kernels/error.h>

using namespace meander;

// Protects pictures from what names may hold, and their axes: gnuplot runs what it is told.
TEST_CASE("the script quotes names and writes round ticks") {
  LearningCurve curve{"it's\n_x", {{{1000, 1}, {20000, 90.5}}}, {{1000, 1, {1, 1}}, {20000, 90.5, {90.5, 90.5}}}};
  const std::string script = gnuplot_script({{"a", {curve}}, {"b", {curve}}}, "q_mean", "svg");
  const auto has = [&](const char* part) { return script.find(part) != std::string::npos; };
  CHECK(has("set terminal svg"));
  CHECK(has("title 'it\xe2\x80\x99s\\n_x'"));
  CHECK(has("set ylabel 'q mean'"));
  CHECK(has("set xtics ('0' 0, '5,000' 5000, '10,000' 10000, '15,000' 15000, '20,000' 20000)"));
  CHECK(has("set ytics ('0' 0, '20' 20, '40' 40, '60' 60, '80' 80)"));
  CHECK(has("20000 90.5"));
  CHECK(!has("filledcurves"));  // one run has no interval
}

TEST_CASE("ticks of small and of equal numbers") {
  const LearningCurve small{"a", {{{1, 0.01}, {2, 0.012}}}, {{1, 0.01, {0.01, 0.01}}, {2, 0.012, {0.012, 0.012}}}};
  CHECK(gnuplot_script({{"a", {small}}}, "q", "png").find("'0.0105' 0.0105, '0.0110' 0.011") != std::string::npos);
  const LearningCurve equal{"a", {{{5, 3}}}, {{5, 3, {3, 3}}}};
  CHECK(gnuplot_script({{"a", {equal}}}, "q", "png").find("yrange [2:4]") != std::string::npos);
}

// Ranges that adding a step never leaves, or that no double holds.
TEST_CASE("ticks of numbers that differ by rounding, and of the largest and smallest there are") {
  const auto script = [](double a, double b) {
    const LearningCurve curve{"a", {{{1, a}, {2, b}}}, {{1, a, {a, a}}, {2, b, {b, b}}}};
    return gnuplot_script({{"a", {curve}}}, "q", "png");
  };
  const auto has = [](const std::string& text, const char* part) { return text.find(part) != std::string::npos; };
  CHECK(has(script(0.1, std::nextafter(0.1, 1)), "set ytics ('-0.5' -0.5, '0.0' 0, '0.5' 0.5, '1.0' 1)"));
  CHECK(has(script(1e15, std::nextafter(1e15, 2e15)), "set yrange [9e+14:1.1e+15]"));
  CHECK(has(script(5e-324, 1e-323), "set yrange [-1:1]"));
  CHECK(has(script(-1.7e308, 1.7e308), "set ytics ('-1e+300' -1e+300, '-5e+299' -5e+299, '0' 0, '5e+299' 5e+299"));
  CHECK(!has(script(-1.7e308, 1.7e308), "inf"));
  CHECK(has(script(1e-20, 4e-20), "'2e-20' 2e-20"));
}

TEST_CASE("the format is the extension") {
  CHECK(picture_format("a.b/c.png") == "png");
  CHECK(picture_format("c.svg") == "svg");
  CHECK_THROWS_AS(picture_format("c.pdf"), Error);
  CHECK_THROWS_AS(picture_format("png"), Error);
}

TEST_CASE("a histogram counts every value once, and draws equal ones too") {
  const Histogram some = histogram("a 'title'", {1, 1, 1.5, 2, 2, 2});
  CHECK(some.low == 1);
  CHECK(some.high == 2);
  REQUIRE(some.counts.size() == 40);
  CHECK(some.counts[0] == 2);
  CHECK(some.counts[20] == 1);
  CHECK(some.counts[39] == 3);
  const Histogram one = histogram("one", {3, 3});
  CHECK(one.low < 3);
  CHECK(one.high > 3);
  CHECK(std::count(one.counts.begin(), one.counts.end(), 2) == 1);
  const std::string script = gnuplot_script({some, one}, "svg");
  CHECK(script.find("set title 'a \xe2\x80\x99title\xe2\x80\x99'") != std::string::npos);
  CHECK(script.find("1.0125 2\n") != std::string::npos);  // the middle of the first bin
  CHECK(script.find("unset multiplot") != std::string::npos);
}
