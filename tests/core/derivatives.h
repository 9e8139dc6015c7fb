#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include <meander/core/operations.h>
#include <meander/core/random.h>

// Holds an operation's rules against central differences and against each other, in double.
namespace meander::testing {

inline Tensor random_matrix(int64_t rows, int64_t cols, uint64_t seed, double scale = 1, double offset = 0) {
  Stream random(seed, Purpose::test, 0);
  const Tensor x = empty(rows, cols, DType::float64);
  for (int64_t i = 0; i < x.size(); ++i) x.as<double>()[i] = offset + scale * random.normal();
  return x;
}

inline double element(Value v, int64_t i) {
  if (!v) return 0;
  return v.dtype() == DType::float64 ? v.detached.as<double>()[i] : double(v.detached.as<float>()[i]);
}

// The largest difference of a and b over 1 + the largest value of b. An absent value is zero.
inline double difference(Value a, Value b) {
  double worst = 0, largest = 0;
  const int64_t n = a ? a.detached.size() : b ? b.detached.size() : 0;
  if (a && b) REQUIRE(a.detached.size() == b.detached.size());
  for (int64_t i = 0; i < n; ++i) {
    const double d = std::abs(element(a, i) - element(b, i));
    worst = std::isfinite(d) ? std::max(worst, d) : INFINITY;
    largest = std::max(largest, std::abs(element(b, i)));
  }
  return worst / (1 + largest);
}

inline double dot(Value a, Value b) {
  double sum = 0;
  if (a && b)
    for (int64_t i = 0; i < a.detached.size(); ++i) sum += element(a, i) * element(b, i);
  return sum;
}

template <size_t N>
using Inputs = std::array<Tensor, N>;

// x + step d
template <size_t N>
Inputs<N> moved(const Inputs<N>& x, const Inputs<N>& d, double step) {
  Inputs<N> y = x;
  for (size_t k = 0; k < N; ++k) {
    y[k] = copy(x[k]);
    if (!d[k]) continue;
    for (int64_t i = 0; i < x[k].size(); ++i) y[k].template as<double>()[i] += step * d[k].template as<double>()[i];
  }
  return y;
}

template <class F, size_t N>
Tensor central_difference(F&& f, const Inputs<N>& x, const Inputs<N>& d) {
  const double h = 1e-5;
  const auto at = [&](double step) {
    const Inputs<N> y = moved(x, d, step);
    return [&]<size_t... I>(std::index_sequence<I...>) { return f(Value(y[I])...); }(std::make_index_sequence<N>());
  };
  const Value a = at(h), b = at(-h);
  const Tensor y = empty(a.rows(), a.cols(), DType::float64);
  for (int64_t i = 0; i < y.size(); ++i) y.as<double>()[i] = (element(a, i) - element(b, i)) / (2 * h);
  return y;
}

// Tolerances: a central difference with h = 1e-5 in double is good to about 1e-9 of well-scaled values; 1e-7 leaves room
// for third derivatives. Rules against each other differ by rounding: 1e-10.
constexpr double against_differences = 1e-7, against_each_other = 1e-10;

// For check_derivatives, with the type of f lost: so this is compiled once for each number of inputs.
template <class... In, size_t N = sizeof...(In)>
void check_rules(const std::function<Value(In...)>& f, const Inputs<N>& x, bool smooth) {
  ArenaScope scope;
  Inputs<N> d;
  Value primal[N], tangent[N];
  for (size_t k = 0; k < N; ++k) {
    d[k] = random_matrix(x[k].rows, x[k].cols, 1000 + k);
    primal[k] = x[k];
    tangent[k] = d[k];
  }
  const auto [y, dy] = jvp(f, primal, tangent);
  CHECK(difference(dy, central_difference(f, x, d)) < against_differences);
  if (dy) {
    CHECK(dy.rows() == y.rows());
    CHECK(dy.cols() == y.cols());
  }

  // <c, J d> = <J' c, d>
  const Tensor c = random_matrix(y.rows(), y.cols(), 2000);
  const auto v = vjp(f, primal);
  CHECK(difference(v.out[0], y) < against_each_other);
  const auto gradient = v.pull({c});
  double pulled = 0;
  for (size_t k = 0; k < N; ++k) {
    pulled += dot(gradient[k], d[k]);
    if (gradient[k]) {
      CHECK(gradient[k].rows() == x[k].rows);
      CHECK(gradient[k].cols() == x[k].cols);
    }
  }
  CHECK(std::abs(dot(c, dy) - pulled) < against_each_other * (1 + std::abs(pulled)));
  if (!smooth) return;

  // The Hessian of <c, f> along d: jvp of grad, grad of jvp and grad of grad.
  const auto gradients = [&](auto... in) { return vjp(f, {in...}).pull({c}); };
  const auto along = [&](auto... in) {   // <c, J d>
    const Value at[] = {in...};
    const Value out = jvp(f, at, tangent).second;
    return out ? sum_all(out * Value(c)) : sum_all(0 * at[0]);
  };
  const auto gradient_along = [&](auto... in) {   // <J' c, d>
    const auto g = gradients(in...);
    Value sum = sum_all(0 * std::get<0>(std::tuple(in...)));
    for (size_t k = 0; k < N; ++k) sum = sum + sum_all(g[k] * Value(d[k]));
    return sum;
  };
  const Value one = full(1, 1, 1, DType::float64);
  const auto jvp_of_grad = jvp(gradients, primal, tangent).second;
  const auto grad_of_jvp = vjp(along, primal).pull({one});
  const auto grad_of_grad = vjp(gradient_along, primal).pull({one});
  double curvature = 0;
  for (size_t k = 0; k < N; ++k) {
    const auto gradient_k = [&](auto... in) {
      const Value g = gradients(in...)[k];
      return g ? g : Value(zeros(x[k].rows, x[k].cols, DType::float64));
    };
    const Tensor expected = central_difference(gradient_k, x, d);
    CHECK(difference(jvp_of_grad[k], expected) < 10 * against_differences);
    CHECK(difference(grad_of_jvp[k], jvp_of_grad[k] ? jvp_of_grad[k] : Value(0 * primal[k])) < against_each_other);
    CHECK(difference(grad_of_grad[k], jvp_of_grad[k] ? jvp_of_grad[k] : Value(0 * primal[k])) < against_each_other);
    curvature += dot(jvp_of_grad[k], d[k]);
  }
  // jvp of jvp along d twice: d' H d.
  const Value twice = jvp(along, primal, tangent).second;
  CHECK(std::abs(dot(twice, one) - curvature) < against_each_other * (1 + std::abs(curvature)));
}

// f: N Values -> Value. `smooth`: second derivatives exist and are checked too.
template <class F, size_t N>
void check_derivatives(F&& f, const Inputs<N>& x, bool smooth = true) {
  check_rules(std::function(f), x, smooth);
}

}  // namespace meander::testing
