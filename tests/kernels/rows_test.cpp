#include <meander/kernels/rows.h>

#include "helpers.h"

using namespace meander::kernels;

namespace {
const int64_t odd_widths[] = {1, 3, 16, 17, 31, 64, 87, 101, 256, 300, 457};
}

// Protects sums, maxima, softmax and their kin against double, on all paths and odd widths.
TEST_CASE("row and column reductions") {
  for (int64_t cols : odd_widths)
    for (int64_t rows : {1, 2, 5, 40}) {
      CAPTURE(cols);
      CAPTURE(rows);
      const Floats x = normals(rows * cols, static_cast<uint64_t>(rows)), value = normals(cols, 2);
      Doubles sum(rows), column(cols), soft(rows * cols), log_sum(rows), expected(rows);
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < cols; ++j) {
          const double v = x[i * cols + j];
          sum[i] += v;
          column[j] += v;
          log_sum[i] += std::exp(v);
          expected[i] += std::exp(v) * value[j];
        }
        for (int64_t j = 0; j < cols; ++j) soft[i * cols + j] = std::exp(x[i * cols + j]) / log_sum[i];
        expected[i] /= log_sum[i];
        log_sum[i] = std::log(log_sum[i]);
      }
      const auto run = [&](int64_t size, auto kernel) {
        return same_on_every_path([&] {
          Floats y(static_cast<size_t>(size));
          kernel(y.data());
          return y;
        });
      };
      // A sum of up to 457 normals: 457 roundings of numbers below 60, most of which cancel.
      CHECK(largest_error(run(rows, [&](float* y) { sum_row(rows, cols, x.data(), y); }), sum) < 1e-5);
      CHECK(largest_error(run(cols, [&](float* y) { sum_column(rows, cols, x.data(), y); }), column) < 1e-5);
      CHECK(largest_error(run(rows * cols, [&](float* y) { softmax(rows, cols, x.data(), y); }), soft) < 1e-6);
      CHECK(largest_error(run(rows, [&](float* y) { log_sum_exp(rows, cols, x.data(), y); }), log_sum) < 1e-6);
      CHECK(largest_error(run(rows, [&](float* y) { softmax_expectation(rows, cols, x.data(), value.data(), y); }),
                          expected) < 2e-6);
    }
}

// Protects the shift by the maximum: logits far beyond exp's range, and -inf logits.
TEST_CASE("softmax of extreme logits") {
  const float infinity = INFINITY;
  Floats x = {1000, 999, -infinity, -2000}, y(4);
  softmax(1, 4, x.data(), y.data());
  CHECK(y[0] == doctest::Approx(1 / (1 + std::exp(-1.0))));
  CHECK(y[2] == 0);
  CHECK(y[3] == 0);
  log_sum_exp(1, 4, x.data(), y.data());
  CHECK(y[0] == doctest::Approx(1000 + std::log1p(std::exp(-1.0))));
  softmax(1, 4, x.data(), x.data());  // in place
  CHECK(x[0] == doctest::Approx(1 / (1 + std::exp(-1.0))));
}

TEST_CASE("layer norm") {  // against double, with a large mean, which a one-pass variance would lose
  for (int64_t cols : odd_widths) {
    CAPTURE(cols);
    const int64_t rows = 7;
    Floats x = normals(rows * cols, 5);
    for (float& v : x) v += 100;
    const Floats scale = normals(cols, 6), shift = normals(cols, 7);
    Doubles want(rows * (2 * cols + 1));
    for (int64_t i = 0; i < rows; ++i) {
      double mean = 0, variance = 0;
      for (int64_t j = 0; j < cols; ++j) mean += x[i * cols + j] / double(cols);
      for (int64_t j = 0; j < cols; ++j) variance += std::pow(x[i * cols + j] - mean, 2) / double(cols);
      const double rstd = 1 / std::sqrt(variance + 1e-2);
      for (int64_t j = 0; j < cols; ++j) {
        const double n = (x[i * cols + j] - mean) * rstd;
        want[i * cols + j] = n * scale[j] + shift[j];
        want[rows * cols + i * cols + j] = n;
      }
      want[2 * rows * cols + i] = rstd;
    }
    const Floats got = same_on_every_path([&] {
      Floats y(want.size());
      layer_norm(rows, cols, 1e-2f, x.data(), scale.data(), shift.data(), y.data(), y.data() + rows * cols,
                 y.data() + 2 * rows * cols);
      return y;
    });
    CHECK(largest_error(got, want) < 1e-4);  // the mean of 100 leaves 1e-5 in x - mean
    Floats alone(rows * cols);
    layer_norm(rows, cols, 1e-2f, x.data(), scale.data(), shift.data(), alone.data(), nullptr, nullptr);
    CHECK(std::equal(alone.begin(), alone.end(), got.begin()));
  }
}

// Protects the projection: mass and mean are kept, grid points stay, ends are clipped, and the transpose is one.
TEST_CASE("C51 projection") {
  const int64_t rows = 20, atoms = 101;
  const float v_min = -7, v_max = 13;
  Floats prob = uniforms(rows * atoms, 1), where = normals(rows * atoms, 2), y(rows * atoms);
  for (float& v : where) v = 3 + 8 * v;
  c51_project(rows, atoms, v_min, v_max, prob.data(), where.data(), y.data());
  for (int64_t i = 0; i < rows; ++i) {
    double mass = 0, mean = 0, got_mass = 0, got_mean = 0;
    for (int64_t j = 0; j < atoms; ++j) {
      mass += prob[i * atoms + j];
      mean += double{prob[i * atoms + j]} * std::clamp(where[i * atoms + j], v_min, v_max);
      got_mass += y[i * atoms + j];
      got_mean += y[i * atoms + j] * (v_min + (v_max - v_min) * j / (atoms - 1.0));
    }
    CHECK(got_mass == doctest::Approx(mass).epsilon(1e-5));
    CHECK(got_mean == doctest::Approx(mean).epsilon(1e-4));
  }
  const Floats dy = normals(rows * atoms, 3);
  Floats dprob(rows * atoms);
  c51_project_transpose(rows, atoms, v_min, v_max, where.data(), dy.data(), dprob.data());
  double left = 0, right = 0;
  for (size_t i = 0; i < y.size(); ++i) left += double{y[i]} * dy[i], right += double{prob[i]} * dprob[i];
  CHECK(left == doctest::Approx(right).epsilon(1e-4));
  // A grid of whole numbers, so that grid points are exact.
  Floats mass = {0.25f, 0.5f, 0.125f, 0.125f}, at = {0, 2, 3, -5}, out(4);
  c51_project(1, 4, 0, 3, mass.data(), at.data(), out.data());
  CHECK(out == Floats{0.375f, 0, 0.5f, 0.125f});
}
