#include <meander/app/gnuplot.h>

#include <doctest/doctest.h>

#include <meander/kernels/error.h>

using namespace meander;

// Protects pictures from what names may hold, and their axes: gnuplot runs what it is told.
TEST_CASE("the script quotes names and writes round ticks") {
  LearningCurve curve{"it's\n_x", {{{1000, 1}, {20000, 90.5}}}, {{1000, 1, {1, 1}}, {20000, 90.5, {90.5, 90.5}}}};
  const std::string script = gnuplot_script({{"a", {curve}}, {"b", {curve}}}, "q_mean", "svg");
  const auto has = [&](const char* part) { return script.find(part) != std::string::npos; };
  CHECK(has("set terminal svg"));
  CHECK(has("title 'it''s _x'"));
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

TEST_CASE("the format is the extension") {
  CHECK(picture_format("a.b/c.png") == "png");
  CHECK(picture_format("c.svg") == "svg");
  CHECK_THROWS_AS(picture_format("c.pdf"), Error);
  CHECK_THROWS_AS(picture_format("png"), Error);
}
