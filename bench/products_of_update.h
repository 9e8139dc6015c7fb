#pragma once

#include <cstdint>
#include <vector>

// The matrix products of one MFPO update as the algorithm states it, nothing shared or left out: every row of every
// phase through the whole of its networks, tangents as many as values. See bench_update.cpp.
namespace meander {

// C [m, n] = op(A) op(B), depth k, `count` times.
struct Product {
  enum Kind { forward, input_gradient, weight_gradient } kind;
  int64_t m, n, k, count;
};

class ProductsOfUpdate {
 public:
  ProductsOfUpdate(int64_t observations, int64_t actions) {
    const std::vector<int64_t> embedding = {128, 64, 64};
    const std::vector<int64_t> velocity = {actions + observations + 64, 256, 256, 256, actions};
    const std::vector<int64_t> divergence = {actions + observations + 64, 256, 256, 256, 1};
    const std::vector<int64_t> critic = {observations + actions, 256, 256, 256, 101};
    const auto flow_forward = [&](const std::vector<int64_t>& widths, int64_t rows, int64_t count) {
      forward(widths, rows, count);
      forward(embedding, rows, 2 * count);  // of t and of h
    };
    const auto flow_backward = [&](const std::vector<int64_t>& widths, int64_t rows) {
      backward(widths, rows, 1, true);
      backward(embedding, rows, 2, true);
    };
    const int64_t batch = 256, steps = 2;
    for (int64_t rows : {batch, 16 * batch}) {  // next action; policy proposals
      flow_forward(velocity, rows, steps);
      flow_forward(divergence, rows, steps);
    }
    forward(critic, batch, 4);                  // two targets, two critics
    backward(critic, batch, 2, false);
    forward(critic, 48 * batch, 2);             // Q of all proposals
    flow_forward(velocity, batch, 2);           // actor: value and tangent
    flow_backward(velocity, batch);
    flow_forward(velocity, 2 * batch, 2);       // Hutchinson, two probes: value and tangent
    flow_forward(divergence, batch, 2);
    flow_backward(divergence, batch);
  }

  const std::vector<Product>& list() const { return list_; }
  double gflop() const {
    double sum = 0;
    for (const Product& p : list_) sum += 2e-9 * static_cast<double>(p.m * p.n * p.k * p.count);
    return sum;
  }

 private:
  void forward(const std::vector<int64_t>& widths, int64_t rows, int64_t count) {
    for (size_t l = 0; l + 1 < widths.size(); ++l)
      list_.push_back({Product::forward, rows, widths[l + 1], widths[l], count});
  }
  void backward(const std::vector<int64_t>& widths, int64_t rows, int64_t count, bool to_inputs) {
    for (size_t l = 0; l + 1 < widths.size(); ++l) {
      list_.push_back({Product::weight_gradient, widths[l], widths[l + 1], rows, count});
      if (l > 0 || to_inputs) list_.push_back({Product::input_gradient, rows, widths[l], widths[l + 1], count});
    }
  }

  std::vector<Product> list_;
};

}  // namespace meander
