#include <meander/kernels/device.h>
#include <meander/kernels/rows.h>

#include "against_cpu.h"

// kernels/cuda/rows.cu against the CPU: the same lanes, trees and formulas, hence equal bits.
namespace meander {
namespace {

using RowFunction = decltype(kernels::DeviceKernels::sum_row);

// Protects the order of the sums, rows that fill no warp, and a number that the CPU treats in its own way: NaN, infinity
// and both zeros are among them.
void same_as_cpu(OnDevice& d, RowFunction on_device, RowFunction on_cpu, bool by_row, bool special = false) {
  for (const Shape shape : edge_shapes) {
    CAPTURE(shape.rows);
    CAPTURE(shape.cols);
    const int64_t n = shape.rows * shape.cols;
    Floats x = normals(n, 2);
    for (float& v : x) v *= 5;
    if (special)
      for (int64_t i = 0; i < n; ++i)
        if (const int64_t row = i / shape.cols; i % 7 == row % 7)
          x[static_cast<size_t>(i)] = row % 5 == 0 ? -0.0f : row % 5 == 1 ? -INFINITY : row % 5 == 2 ? NAN : 0.0f;
    Floats want(static_cast<size_t>(by_row ? shape.rows : shape.cols));
    on_cpu(shape.rows, shape.cols, x.data(), want.data());
    const auto y = d.room(want.size());
    on_device(shape.rows, shape.cols, d.up(x), y);
    CHECK(same_numbers(d.down(y), want));
  }
}

}  // namespace

TEST_CASE("sums of rows and columns have the CPU's bits") {
  on_each_device([](OnDevice& d) {
    for (const bool special : {false, true}) {
      same_as_cpu(d, d.k.sum_row, kernels::sum_row, true, special);
      same_as_cpu(d, d.k.log_sum_exp, kernels::log_sum_exp, true, special);
      same_as_cpu(d, d.k.sum_column, kernels::sum_column, false, special);
    }
  });
}

// Protects the tiles of sum_column: more rows than one holds, and than two.
TEST_CASE("the sum of a long column runs in row order") {
  on_each_device([](OnDevice& d) {
    for (const Shape shape : {Shape{257, 8}, {700, 9}, {2049, 1}, {4500, 1}}) {
      const Floats x = normals(shape.rows * shape.cols, 3);
      Floats want(static_cast<size_t>(shape.cols));
      kernels::sum_column(shape.rows, shape.cols, x.data(), want.data());
      const auto y = d.room(want.size());
      d.k.sum_column(shape.rows, shape.cols, d.up(x), y);
      CHECK(same_numbers(d.down(y), want));
    }
  });
}

TEST_CASE("softmax has the CPU's bits, also in place") {
  on_each_device([](OnDevice& d) {
    for (const Shape shape : edge_shapes) {
      CAPTURE(shape.rows);
      CAPTURE(shape.cols);
      Floats x = normals(shape.rows * shape.cols, 4);
      for (float& v : x) v *= 20;
      Floats want(x.size());
      kernels::softmax(shape.rows, shape.cols, x.data(), want.data());
      const auto from = d.up(x), y = d.room(x.size());
      d.k.softmax(shape.rows, shape.cols, from, y);
      CHECK(same_numbers(d.down(y), want));
      d.k.softmax(shape.rows, shape.cols, from, from);
      CHECK(same_numbers(d.down(from), want));
    }
  });
}

TEST_CASE("the expectation under softmax has the CPU's bits") {
  on_each_device([](OnDevice& d) {
    for (const Shape shape : edge_shapes) {
      const Floats x = normals(shape.rows * shape.cols, 5), value = normals(shape.cols, 6);
      Floats want(static_cast<size_t>(shape.rows));
      kernels::softmax_expectation(shape.rows, shape.cols, x.data(), value.data(), want.data());
      const auto y = d.room(want.size());
      d.k.softmax_expectation(shape.rows, shape.cols, d.up(x), d.up(value), y);
      CHECK(same_numbers(d.down(y), want));
    }
  });
}

// Protects also what may be left out: the normalised numbers and 1 / sqrt(variance).
TEST_CASE("layer norm has the CPU's bits") {
  on_each_device([](OnDevice& d) {
    for (const Shape shape : edge_shapes) {
      CAPTURE(shape.rows);
      CAPTURE(shape.cols);
      const Floats x = normals(shape.rows * shape.cols, 7);
      const Floats scale = normals(shape.cols, 8), shift = normals(shape.cols, 9);
      Floats y(x.size()), normalised(x.size()), rstd(static_cast<size_t>(shape.rows));
      kernels::layer_norm(shape.rows, shape.cols, 1e-5f, x.data(), scale.data(), shift.data(), y.data(),
                          normalised.data(), rstd.data());
      const auto from = d.up(x), by = d.up(scale), plus = d.up(shift);
      const auto to = d.room(y.size()), n = d.room(y.size()), r = d.room(rstd.size());
      d.k.layer_norm(shape.rows, shape.cols, 1e-5f, from, by, plus, to, n, r);
      CHECK(same_numbers(d.down(to), y));
      CHECK(same_numbers(d.down(n), normalised));
      CHECK(same_numbers(d.down(r), rstd));
      const auto alone = d.room(y.size());
      d.k.layer_norm(shape.rows, shape.cols, 1e-5f, from, by, plus, alone, nullptr, nullptr);
      CHECK(same_numbers(d.down(alone), y));
    }
  });
}

// Protects the order in which the masses that fall on one atom are added: the order of the row, whatever their places;
// and the places at and beyond the ends, and of NaN.
TEST_CASE("the C51 projection and its transpose have the CPU's bits") {
  on_each_device([](OnDevice& d) {
    for (const Shape shape : {Shape{1, 2}, {3, 3}, {5, 21}, {3, 33}, {7, 101}, {2, 128}, {2, 129}, {3, 376}}) {
      CAPTURE(shape.rows);
      CAPTURE(shape.cols);
      const int64_t n = shape.rows * shape.cols;
      const float v_min = -3, v_max = 2;
      Floats prob(static_cast<size_t>(n)), where = normals(n, 10);
      kernels::softmax(shape.rows, shape.cols, normals(n, 11).data(), prob.data());
      for (int64_t i = 0; i < n; i += 5) where[static_cast<size_t>(i)] = i % 2 ? v_min : v_max;
      if (shape.rows == 7) where[n - 3] = NAN, where[n - 4] = INFINITY, where[n - 150] = -1e30f;
      Floats want(prob.size()), want_back(prob.size());
      kernels::c51_project(shape.rows, shape.cols, v_min, v_max, prob.data(), where.data(), want.data());
      kernels::c51_project_transpose(shape.rows, shape.cols, v_min, v_max, where.data(), prob.data(), want_back.data());
      const auto p = d.up(prob), at = d.up(where), y = d.room(prob.size()), back = d.room(prob.size());
      d.k.c51_project(shape.rows, shape.cols, v_min, v_max, p, at, y);
      CHECK(same_numbers(d.down(y), want));
      d.k.c51_project_transpose(shape.rows, shape.cols, v_min, v_max, at, p, back);
      CHECK(same_numbers(d.down(back), want_back));
    }
  });
}

}  // namespace meander
