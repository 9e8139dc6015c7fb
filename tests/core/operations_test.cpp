// Protects the rules of every operation: value, pushforward and pullback against central differences in double and
// against each other, to second order, with every broadcast; and float32 against float64.
#include <meander/core/operations.h>

#include "derivatives.h"

using namespace meander;
using meander::testing::check_derivatives;
using meander::testing::difference;
using meander::testing::Inputs;
using meander::testing::random_matrix;

namespace {
Tensor positive(int64_t rows, int64_t cols, uint64_t seed) {
  const Tensor x = random_matrix(rows, cols, seed);
  for (int64_t i = 0; i < x.size(); ++i) x.as<double>()[i] = 0.5 + std::abs(x.as<double>()[i]);
  return x;
}
// Away from the kinks of relu, clip, minimum: no element nearer to one of them than a difference reaches.
Tensor off_the_kinks(int64_t rows, int64_t cols, uint64_t seed) {
  const Tensor x = random_matrix(rows, cols, seed);
  for (int64_t i = 0; i < x.size(); ++i) {
    double& v = x.as<double>()[i];
    for (double kink : {-0.5, 0.0, 0.5})
      if (std::abs(v - kink) < 1e-3) v += 2e-3;
  }
  return x;
}
Tensor indices(std::initializer_list<int32_t> numbers) {
  const Tensor x = empty(static_cast<int64_t>(numbers.size()), 1, DType::int32);
  std::copy(numbers.begin(), numbers.end(), x.as<int32_t>());
  return x;
}
}  // namespace

TEST_CASE("arithmetic with every broadcast") {
  ArenaScope scope;
  const std::pair<int64_t, int64_t> shapes[] = {{3, 4}, {1, 4}, {3, 1}, {1, 1}};
  for (auto [ar, ac] : shapes)
    for (auto [br, bc] : shapes) {
      const Inputs<2> x{random_matrix(ar, ac, 1), positive(br, bc, 2)};
      check_derivatives([](Value a, Value b) { return a + b; }, x);
      check_derivatives([](Value a, Value b) { return a - b; }, x);
      check_derivatives([](Value a, Value b) { return a * b; }, x);
      check_derivatives([](Value a, Value b) { return a / b; }, x);
      check_derivatives([](Value a, Value b) { return add_scaled(a, -0.7, b); }, x);
      check_derivatives([](Value a, Value b) { return minimum(a, b); }, x, false);
      check_derivatives([](Value a, Value b) { return maximum(a, b); }, x, false);
    }
  const Tensor mask = cast(random_matrix(3, 4, 7), DType::float64);
  for (int64_t i = 0; i < mask.size(); ++i) mask.as<double>()[i] = mask.as<double>()[i] > 0;
  check_derivatives([&](Value a, Value b) { return select(mask, a, b) * a; },
                    Inputs<2>{random_matrix(3, 4, 1), random_matrix(1, 4, 2)});
  check_derivatives([](Value a) { return 3 - 2 * a + a / 4; }, Inputs<1>{random_matrix(2, 3, 1)});
}

TEST_CASE("functions of one variable") {
  ArenaScope scope;
  const Inputs<1> any{random_matrix(3, 5, 3, 2)}, above_zero{positive(3, 5, 4)}, clear{off_the_kinks(4, 5, 5)};
  check_derivatives([](Value x) { return exp(x); }, any);
  check_derivatives([](Value x) { return log(x); }, above_zero);
  check_derivatives([](Value x) { return sqrt(x); }, above_zero);
  check_derivatives([](Value x) { return sin(x); }, any);
  check_derivatives([](Value x) { return cos(x); }, any);
  check_derivatives([](Value x) { return tanh(x); }, any);
  check_derivatives([](Value x) { return sigmoid(x); }, any);
  for (auto which : meander::kernels::activations)
    check_derivatives([&](Value x) { return activate(which, x); },
                      which == meander::kernels::Activation::relu ? clear : any);
  check_derivatives([](Value x) { return square(x); }, any);
  check_derivatives([](Value x) { return relu(x) * x; }, clear);
  check_derivatives([](Value x) { return clip(x, -0.5, 0.5) * x; }, clear);
}

TEST_CASE("sums, means, repeats") {
  ArenaScope scope;
  const Inputs<1> x{random_matrix(6, 4, 6)}, row{random_matrix(1, 4, 7)};
  check_derivatives([](Value v) { return square(sum_row(v)); }, x);
  check_derivatives([](Value v) { return square(sum_column(v)); }, x);
  check_derivatives([](Value v) { return square(sum_all(v)); }, x);
  check_derivatives([](Value v) { return square(mean_row(v)); }, x);
  check_derivatives([](Value v) { return square(mean_column(v)); }, x);
  check_derivatives([](Value v) { return square(mean_all(v)); }, x);
  check_derivatives([](Value v) { return square(repeat_rows(v, 3)); }, x);
  check_derivatives([](Value v) { return square(sum_groups(v, 3)); }, x);
  check_derivatives([](Value v) { return square(broadcast_to(v, 5, 4)); }, row);
}

TEST_CASE("slices, joins, parameters, gathers") {
  ArenaScope scope;
  const Inputs<1> x{random_matrix(4, 6, 8)};
  check_derivatives([](Value v) { return square(slice_columns(v, 1, 3)); }, x);
  check_derivatives([](Value v) { return square(pad_columns(v, 2, 9)); }, x);
  check_derivatives([](Value v) { return square(slice_rows(v, 1, 2)); }, x);
  check_derivatives([](Value v) { return square(pad_rows(v, 1, 7)); }, x);
  check_derivatives([](Value v) { return square(reshape(v, 8, 3)); }, x);
  check_derivatives([](Value v) { return square(gather_row(v, indices({5, 0, 2, 2}))); }, x);
  check_derivatives([](Value v) { return square(gather_rows(v, indices({3, 3, 0}))); }, x);
  for (int64_t rows : {1, 4})
    check_derivatives([](Value a, Value b) { return square(concat_columns(a, b)); },
                      Inputs<2>{random_matrix(4, 2, 9), random_matrix(rows, 3, 10)});
  check_derivatives([](Value a, Value b, Value c) { return square(concat_columns(a, b, c)); },
                    Inputs<3>{random_matrix(4, 2, 9), random_matrix(1, 3, 10), random_matrix(4, 1, 11)});
  // Two parameters that overlap in the flat buffer: both add to its gradient.
  check_derivatives([](Value flat) { return product(parameter(flat, 2, 3, 2), parameter(flat, 5, 2, 4)); },
                    Inputs<1>{random_matrix(1, 20, 11)});
  CHECK(argmax_row(view(std::array<double, 6>{1, 3, 3, -1, -2, -1}.data(), 2, 3)).as<int32_t>()[0] == 1);
}

TEST_CASE("products and dense layers") {
  ArenaScope scope;
  check_derivatives([](Value a, Value b) { return product(a, b); },
                    Inputs<2>{random_matrix(3, 4, 1), random_matrix(4, 5, 2)});
  check_derivatives([](Value a, Value b) { return product_nt(a, b); },
                    Inputs<2>{random_matrix(3, 4, 1), random_matrix(5, 4, 2)});
  check_derivatives([](Value a, Value b) { return product_tn(a, b); },
                    Inputs<2>{random_matrix(4, 3, 1), random_matrix(4, 5, 2)});
  check_derivatives([](Value x, Value w, Value b) { return dense(x, w, b); },
                    Inputs<3>{random_matrix(3, 4, 1), random_matrix(4, 5, 2), random_matrix(1, 5, 3)});
}

TEST_CASE("normalisation") {
  ArenaScope scope;
  check_derivatives([](Value x, Value scale, Value shift) { return layer_norm(x, scale, shift); },
                    Inputs<3>{random_matrix(3, 7, 1), random_matrix(1, 7, 2), random_matrix(1, 7, 3)});
  check_derivatives([](Value x) { return normalise(x, 1e-3)[1]; }, Inputs<1>{random_matrix(3, 7, 1)});
}

TEST_CASE("distributions") {
  ArenaScope scope;
  const Inputs<1> x{random_matrix(3, 6, 12)};
  check_derivatives([](Value v) { return softmax(v); }, x);
  check_derivatives([](Value v) { return log_sum_exp(v); }, x);
  check_derivatives([](Value v) { return log_softmax(v); }, x);
  check_derivatives([](Value v, Value atoms) { return softmax_expectation(v, atoms); },
                    Inputs<2>{random_matrix(3, 6, 12), random_matrix(1, 6, 13)});
  check_derivatives([](Value target, Value v) { return cross_entropy(target, v); },
                    Inputs<2>{positive(3, 6, 14), random_matrix(3, 6, 12)});
  check_derivatives([](Value a, Value b) { return mean_squared_error(a, b); },
                    Inputs<2>{random_matrix(3, 6, 14), random_matrix(3, 6, 12)});
  const Tensor where = random_matrix(3, 6, 15, 3);
  check_derivatives([&](Value prob) { return square(c51_project(prob, where, -4, 4)); }, x);
  // Bounds on one side, on the other and around zero.
  const Tensor lower = random_matrix(4, 2, 16, 1), upper = copy(lower), f = empty(4, 2, DType::float64);
  for (int64_t i = 0; i < 8; ++i) {
    upper.as<double>()[i] += 0.5 + 0.3 * double(i);
    f.as<double>()[i] = 0.1 + 0.1 * double(i);
  }
  check_derivatives([](Value lo, Value up, Value u) { return truncated_normal(lo, up, u); },
                    Inputs<3>{lower, upper, f});
}

// exp(710) is no double any more, exp(89) no float.
TEST_CASE("distributions of logits that are large and far apart") {
  ArenaScope scope;
  for (const DType dtype : {DType::float64, DType::float32}) {
    const Tensor x = empty(1, 3, DType::float64);
    for (const double middle : {-1000.0, 0.0, 1000.0}) {
      for (int j = 0; j < 3; ++j) x.as<double>()[j] = middle + 1000.0 * (j - 1);
      const Value logits = cast(x, dtype), high = full(1, 1, middle + 1000);
      const Tensor p = cast(softmax(logits).detached, DType::float64);
      for (int j = 0; j < 3; ++j) CHECK(p.as<double>()[j] == (j == 2));
      CHECK(difference(cast(log_sum_exp(logits).detached, DType::float64), cast(high.detached, DType::float64)) == 0);
    }
  }
}

// float32 against the composite in double: a few ulp of sums of a few numbers.
TEST_CASE("what a kernel of its own computes in float32") {
  ArenaScope scope;
  constexpr double tolerance = 1e-6;
  const auto single = [](Tensor x) { return Value(cast(x, DType::float32)); };
  const Tensor a = random_matrix(5, 33, 1), b = random_matrix(5, 33, 2), t = positive(5, 1, 3);
  const Value target = softmax(b);
  CHECK(difference(mean_all(single(a)), mean_all(a)) < tolerance);
  CHECK(difference(normal_log_prob(single(a)), normal_log_prob(a)) < tolerance);
  CHECK(difference(mix(single(t), single(a), single(b)), mix(t, a, b)) < tolerance);
  CHECK(difference(add_scaled(single(a), -0.7, single(b)), Value(a) - 0.7 * Value(b)) < tolerance);
  CHECK(difference(minimum(single(a), single(b)), minimum(a, b)) < tolerance);
  CHECK(difference(maximum(single(a), single(b)), maximum(a, b)) < tolerance);
  const auto losses = [&](Value x, Value y, Value p, auto&& check) {
    check([&](Value v) { return cross_entropy(p, v); }, x);
    check([&](Value v) { return cross_entropy(v, y); }, p);           // by the target: the composite
    check([&](Value v) { return mean_squared_error(v, y); }, x);
    check([&](Value v) { return mean_squared_error(y, v); }, x);      // likewise
    check([&](Value v) { return mean_squared_error(v * v, v); }, x);  // by both
  };
  Value exact[5][3];
  int i = 0;
  losses(a, b, target, [&](auto f, Value x) {
    std::tie(exact[i][0], exact[i][1]) = std::tuple(f(x), grad(f, x));
    exact[i++][2] = jvp(f, {x}, {Value(b)}).second;
  });
  i = 0;
  losses(single(a), single(b), single(target.detached), [&](auto f, Value x) {
    CAPTURE(i);
    CHECK(difference(f(x), exact[i][0]) < tolerance);
    CHECK(difference(2 * grad([&](Value v) { return 0.5 * f(v); }, x), exact[i][1]) < tolerance);
    CHECK(difference(jvp(f, {x}, {single(b)}).second, exact[i++][2]) < tolerance);
  });
}

TEST_CASE("Fourier features") {
  ArenaScope scope;
  check_derivatives([](Value t, Value w) { return fourier_features(t, w); },
                    Inputs<2>{random_matrix(3, 1, 1), random_matrix(1, 4, 2, 0.2)});
}

TEST_CASE("shapes that do not fit are refused with both shapes named") {
  ArenaScope scope;
  const Value a = random_matrix(3, 4, 1), b = random_matrix(2, 4, 2), c = cast(a.detached, DType::float32);
  CHECK_THROWS_WITH_AS(a + b, "add: shapes [3, 4] float64 and [2, 4] float64 do not fit", Error);
  CHECK_THROWS_AS(a + c, Error);
  CHECK_THROWS_AS(product(a, b), Error);
  CHECK_THROWS_AS(concat_columns(a, b), Error);
  CHECK_THROWS_AS(concat_columns(a, a, b), Error);
  CHECK_THROWS_AS(slice_columns(a, 2, 3), Error);
  CHECK_THROWS_AS(gather_row(a, indices({0, 1, 4})), Error);
  CHECK_THROWS_AS(grad([](Value x) { return Values<1>{x}; }, a), Error);
}
