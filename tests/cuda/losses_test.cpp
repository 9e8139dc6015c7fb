#include <meander/kernels/losses.h>

#include "against_cpu.h"
#include <meander/kernels/rows.h>

// kernels/cuda/losses.cu and the mean against the CPU. Gradients and rows are sums in the CPU's order, hence equal bits. A
// mean over everything runs in another order: 1e-6 of the mean size of what is added, for sums this short.
namespace meander {

TEST_CASE("means and losses are the CPU's") {
  on_each_device([](OnDevice& d) {
    for (const Shape shape : {Shape{1, 1}, {5, 2}, {3, 33}, {40, 101}}) {
      CAPTURE(shape.rows);
      CAPTURE(shape.cols);
      const int64_t n = shape.rows * shape.cols;
      const Floats logits = normals(n, 1), other = normals(n, 2), dloss = {0.7f};
      Floats target(logits.size()), row(static_cast<size_t>(shape.rows)), want(1), gradient(logits.size());
      kernels::softmax(shape.rows, shape.cols, other.data(), target.data());
      const auto x = d.up(logits), p = d.up(target), b = d.up(other), dl = d.up(dloss);
      const auto rows = d.room(row.size()), y = d.room(1), back = d.room(logits.size());

      kernels::cross_entropy(shape.rows, shape.cols, target.data(), logits.data(), row.data(), want.data());
      d.k.cross_entropy(shape.rows, shape.cols, p, x, rows, y);
      CHECK(same_numbers(d.down(rows), row));
      CHECK(largest_error(d.down(y), want) < 1e-6);
      kernels::cross_entropy_gradient(shape.rows, shape.cols, target.data(), logits.data(), dloss.data(), gradient.data());
      d.k.cross_entropy_gradient(shape.rows, shape.cols, p, x, dl, back);
      CHECK(same_numbers(d.down(back), gradient));

      kernels::mean_squared_error(n, logits.data(), other.data(), want.data());
      d.k.mean_squared_error(n, x, b, y);
      CHECK(largest_error(d.down(y), want) < 1e-6);
      kernels::mean_squared_error_gradient(n, logits.data(), other.data(), dloss.data(), gradient.data());
      d.k.mean_squared_error_gradient(n, x, b, dl, back);
      CHECK(same_numbers(d.down(back), gradient));

      kernels::mean(n, logits.data(), want.data());
      d.k.mean(n, x, y);
      CHECK(largest_error(d.down(y), want) < 1e-6);
      kernels::normal_log_prob(shape.rows, shape.cols, logits.data(), row.data());
      d.k.normal_log_prob(shape.rows, shape.cols, x, rows);
      CHECK(same_numbers(d.down(rows), row));
    }
  });
}

}  // namespace meander
