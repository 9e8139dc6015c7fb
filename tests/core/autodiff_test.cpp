// Protects the levels: that nested transforms do not confuse their tangents, that symbolic zeros stay absent, that
// stop_gradient stops, that tangents of the last rows are exactly the last rows of whole ones, and that misuse is caught.
#include <meander/core/autodiff.h>

#include "derivatives.h"

using namespace meander;
using namespace meander::testing;

namespace {
Value number(double x) { return full(1, 1, x, DType::float64); }
double value(Value v) { return v ? v.detached.as<double>()[0] : 0; }
}  // namespace

TEST_CASE("nested transforms keep their tangents apart") {
  ArenaScope scope;
  // d/dx [x d/dy (x + y)] = 1; a confused perturbation gives 2 (Siskind and Pearlmutter 2005).
  const auto f = [](Value x) {
    return x * jvp([&](Value y) { return x + y; }, {number(1)}, {number(1)}).second;
  };
  CHECK(value(jvp(f, {number(1)}, {number(1)}).second) == 1);
  CHECK(value(grad([&](Value x) { return Values<1>{f(x)}; }, number(1))) == 1);
  const auto g = [](Value x) { return x * grad([&](Value y) { return Values<1>{x * y}; }, number(1)); };
  CHECK(value(jvp(g, {number(3)}, {number(1)}).second) == 6);
  CHECK(value(grad([&](Value x) { return Values<1>{g(x)}; }, number(3))) == 6);
}

TEST_CASE("third derivatives by every mixture of modes") {
  ArenaScope scope;
  const auto f = [](Value x) { return exp(2 * x); };
  const auto forward = [](auto h) { return [h](Value x) { return jvp(h, {x}, {number(1)}).second; }; };
  const auto reverse = [](auto h) {
    return [h](Value x) { return grad([&](Value v) { return Values<1>{h(v)}; }, x); };
  };
  const double expected = 8 * std::exp(0.6);
  CHECK(value(forward(forward(forward(f)))(number(0.3))) == doctest::Approx(expected));
  CHECK(value(reverse(forward(forward(f)))(number(0.3))) == doctest::Approx(expected));
  CHECK(value(forward(reverse(forward(f)))(number(0.3))) == doctest::Approx(expected));
  CHECK(value(forward(forward(reverse(f)))(number(0.3))) == doctest::Approx(expected));
  CHECK(value(reverse(reverse(reverse(f)))(number(0.3))) == doctest::Approx(expected));
}

TEST_CASE("symbolic zeros are absent") {
  ArenaScope scope;
  const Value x = number(2), y = number(3);
  CHECK(!jvp([&](Value) { return y * y; }, {x}, {number(1)}).second);
  CHECK(!jvp([&](Value v) { return v * v; }, {x}, {Value()}).second);
  const auto v = vjp([](Value a, Value) { return a * a; }, {x, y});
  CHECK(value(v.pull({number(1)})[0]) == 4);
  CHECK(!v.pull({number(1)})[1]);
  CHECK(!v.pull({Value()})[0]);
  CHECK(value(v.pull({number(2)})[0]) == 8);   // again, with another cotangent
}

TEST_CASE("stop_gradient stops at every level") {
  ArenaScope scope;
  CHECK(!jvp([](Value x) { return stop_gradient(x) * 2.0; }, {number(1)}, {number(1)}).second);
  const auto f = [](Value x) { return stop_gradient(x) * x; };
  CHECK(value(grad([&](Value x) { return Values<1>{f(x)}; }, number(5))) == 5);
  const auto slope = [&](Value x) { return jvp(f, {x}, {number(1)}).second; };
  CHECK(!jvp(slope, {number(5)}, {number(1)}).second);
}

TEST_CASE("a tangent of the last rows gives the last rows of the whole tangent") {
  ArenaScope scope;
  const Tensor x = random_matrix(6, 3, 1), d = random_matrix(6, 3, 2), w = random_matrix(3, 4, 3);
  const Tensor b = random_matrix(1, 4, 4), t = random_matrix(6, 1, 5), dt = random_matrix(6, 1, 6);
  const auto f = [&](Value x, Value t) {
    const Value h = gelu(layer_norm(dense(x, w, b), b, b));
    return softmax(concat_columns(h * t, clip(slice_columns(x, 1, 2), -0.5, 0.5)) / (2 + t * t));
  };
  for (int64_t i = 0; i < 4; ++i)   // the whole tangent with zeros above
    for (int64_t j = 0; j < 3; ++j) d.as<double>()[i * 3 + j] = dt.as<double>()[i] = 0;
  const auto [whole_y, whole] = jvp(f, {x, t}, {d, dt});
  const auto [y, last] = jvp(f, {x, t}, {d.slice_rows(4, 2), dt.slice_rows(4, 2)});
  CHECK(y.rows() == 6);
  CHECK(last.rows() == 2);
  CHECK(difference(y, whole_y) == 0);
  CHECK(difference(last, whole.detached.slice_rows(4, 2)) < 1e-15);
  // Operations across rows refuse it rather than give a wrong answer.
  CHECK_THROWS_AS(jvp([](Value x) { return sum_column(x); }, {x}, {d.slice_rows(4, 2)}), Error);
}

TEST_CASE("a value that outlives its level is caught, and errors close their levels") {
  ArenaScope scope;
  Value kept;
  jvp([&](Value x) { return kept = x * x; }, {number(1)}, {number(1)});
  CHECK_THROWS_WITH_AS(kept + kept, "a value was used after the jvp or vjp it belongs to had returned", Error);
  for (int i = 0; i < 100; ++i)
    CHECK_THROWS_AS(vjp([](Value x) { return x + random_matrix(2, 2, 1) * random_matrix(3, 2, 1); }, {number(1)}), Error);
  CHECK(value(grad([](Value x) { return Values<1>{x * x}; }, number(3))) == 6);
}
