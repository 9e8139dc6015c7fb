// The engine alone: the product of a small network's Hessian with a vector, as jvp (forwards) of grad (backwards), at
// about the price of two gradients and without the Hessian; beside central differences of the gradient.
//
//   ninja -C build/release example_hessian_vector_product && build/release/examples/example_hessian_vector_product
#include <meander/core/operations.h>
#include <meander/core/random.h>

#include <cmath>
#include <cstdio>

namespace {

using namespace meander;

constexpr int64_t inputs = 3, width = 8, rows = 16;
constexpr int64_t size = inputs * width + width + width + 1;

Tensor random_matrix(int64_t rows, int64_t cols, uint64_t seed) {
  Stream random(seed, Purpose::test, 0);
  const Tensor x = empty(rows, cols, DType::float64);
  for (int64_t i = 0; i < x.size(); ++i) x.as<double>()[i] = random.normal();
  return x;
}

// Mean squared error of  tanh(x W1 + b1) W2 + b2  at targets y; all parameters lie in one row.
Value loss(Value params, Value x, Value y) {
  int64_t at = 0;
  const auto next = [&](int64_t rows, int64_t cols) {
    const Value part = parameter(params, at, rows, cols);
    at += rows * cols;
    return part;
  };
  const Value w1 = next(inputs, width), b1 = next(1, width), w2 = next(width, 1), b2 = next(1, 1);
  return mean_squared_error(dense(tanh(dense(x, w1, b1)), w2, b2), y);
}

}  // namespace

int main() {
  ArenaScope scope;  // tensors live until here
  const Value x = random_matrix(rows, inputs, 1), y = random_matrix(rows, 1, 2);
  const Value params = random_matrix(1, size, 3), v = random_matrix(1, size, 4);

  const auto gradient = [&](Value params) {
    return grad([&](Value params) { return loss(params, x, y); }, params);
  };
  const Value product = jvp(gradient, {params}, {v}).second;

  const double h = 1e-5;
  const Value difference = (gradient(params + h * v) - gradient(params - h * v)) / (2 * h);
  double worst = 0;
  for (int64_t i = 0; i < size; ++i) {
    const double exact = product.detached.as<double>()[i], near = difference.detached.as<double>()[i];
    if (i < 4) std::printf("(H v)[%d] = %10.6f   by differences %10.6f\n", static_cast<int>(i), exact, near);
    worst = std::max(worst, std::abs(exact - near));
  }
  std::printf("largest difference of %d: %.1e\n", static_cast<int>(size), worst);
  return worst < 1e-7 ? 0 : 1;
}
