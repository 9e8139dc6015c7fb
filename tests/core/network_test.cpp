// Protects the fused network operations: each against its composite in float32 and in double, the gradient into the
// flat buffer, tangents of the last rows, and second derivatives, which must fall back to the composite.
#include <meander/core/operations.h>

#include "derivatives.h"
#include <meander/kernels/mlp.h>
#include <meander/nn/mlp.h>

using namespace meander;
using meander::kernels::Activation;
using meander::kernels::MlpShape;
using meander::kernels::Norm;
using meander::testing::difference;

namespace {

struct Net {
  MlpShape shape;
  Tensor params;   // float32
};

Net make_net(int64_t in, int64_t width, int64_t out, Activation activation, Norm norm) {
  ParameterLayout layout;
  layout.add("something before", {7}, Initial::one);   // the network does not start at offset 0
  Net net{add_mlp(layout, in, {width, 2, activation, norm}, out), {}};
  net.shape.norm_eps = 1e-3f;
  layout.add("something behind", {5}, Initial::one);
  net.params = empty(1, layout.size());
  layout.initialise(net.params.f32(), Stream(3, Purpose::test, 1));
  Stream random(4, Purpose::test, 2);   // scales and shifts that are not 1 and 0
  for (int64_t i = 0; i < net.params.cols; ++i) net.params.f32()[i] += static_cast<float>(0.1 * random.normal());
  return net;
}

Tensor inputs(int64_t rows, int64_t cols, uint64_t seed) {
  return cast(meander::testing::random_matrix(rows, cols, seed), DType::float32);
}

Tensor in_double(Tensor x) { return cast(x, DType::float64); }

struct Everything {
  Value y, dy, dx, dparams, mixed_dx, mixed_dparams;
};

// Value, tangent, gradients through the value, and gradients through value and tangent, of net(params, x).
template <class F>
Everything everything(F net, Tensor params, Tensor x, Tensor dx, Tensor cy, Tensor cdy) {
  Everything e;
  std::tie(e.y, e.dy) = jvp([&](Value x) { return net(params, x); }, {x}, {dx});
  const auto both = [&](Value params, Value x) {
    const auto [y, dy] = jvp([&](Value x) { return net(params, x); }, {x}, {dx});
    return Values<2>{y, dy};
  };
  const auto v = vjp(both, {params, x});
  const auto through_y = v.pull({cy, Value()}), through_both = v.pull({cy, cdy});
  e.dparams = through_y[0], e.dx = through_y[1];
  e.mixed_dparams = through_both[0], e.mixed_dx = through_both[1];
  return e;
}

// float32 against double: about 1e-6 a layer for these sizes and three layers of derivatives; 2e-5 has room.
constexpr double tolerance = 2e-5;

}  // namespace

TEST_CASE("the fused network is its composite, with every activation and norm") {
  ArenaScope scope;
  for (Activation activation : meander::kernels::activations)
    for (Norm norm : {Norm::none, Norm::before_activation, Norm::after_activation})
      for (int64_t tangent_rows : {11, 4}) {
        CAPTURE(int(activation));
        CAPTURE(int(norm));
        const Net net = make_net(9, 20, 3, activation, norm);
        const Tensor x = inputs(11, 9, 1), dx = inputs(tangent_rows, 9, 2);
        const Tensor cy = inputs(11, 3, 3), cdy = inputs(tangent_rows, 3, 4);
        const auto fused = [&](Value params, Value x) { return mlp(net.shape, params, x); };
        const auto composite = [&](Value params, Value x) { return mlp_composite(net.shape, params, x); };
        const Everything mine = everything(fused, net.params, x, dx, cy, cdy);
        const Everything exact = everything(composite, in_double(net.params), in_double(x), in_double(dx),
                                            in_double(cy), in_double(cdy));
        const Everything same = everything(composite, net.params, x, dx, cy, cdy);
        for (const Everything& other : {exact, same}) {
          CHECK(difference(mine.y, other.y) < tolerance);
          CHECK(difference(mine.dy, other.dy) < tolerance);
          CHECK(difference(mine.dx, other.dx) < tolerance);
          CHECK(difference(mine.dparams, other.dparams) < tolerance);
          CHECK(difference(mine.mixed_dx, other.mixed_dx) < tolerance);
          CHECK(difference(mine.mixed_dparams, other.mixed_dparams) < tolerance);
        }
        CHECK(mine.dy.rows() == tangent_rows);
        // Nothing leaks into the parameters around the network.
        for (int64_t i = 0; i < 7; ++i) CHECK(mine.dparams.detached.f32()[i] == 0);
      }
}

TEST_CASE("two uses of one buffer add up in its gradient") {
  ArenaScope scope;
  const Net net = make_net(4, 16, 4, Activation::gelu, Norm::before_activation);
  const Tensor x = inputs(6, 4, 1);
  const auto twice = [&](Value params) {
    return Values<1>{mean_all(square(mlp(net.shape, params, mlp(net.shape, params, x)) * parameter(params, 0, 1, 1)))};
  };
  const Value fused = grad(twice, net.params);
  const auto composite = [&](Value params) {
    const Value inner = mlp_composite(net.shape, params, in_double(x));
    return Values<1>{mean_all(square(mlp_composite(net.shape, params, inner) * parameter(params, 0, 1, 1)))};
  };
  CHECK(difference(fused, grad(composite, in_double(net.params))) < tolerance);
}

TEST_CASE("second derivatives of a fused network come from the composite") {
  ArenaScope scope;
  const Net net = make_net(3, 8, 1, Activation::gelu, Norm::before_activation);
  const Tensor x = inputs(5, 3, 1), d = inputs(5, 3, 2);
  const auto hessian_along = [](auto f, Tensor x, Tensor d) {   // grad of grad, jvp of grad
    const auto gradient = [&](Value x) { return vjp(f, {x}).pull({Value(full(5, 1, 1, x.dtype()))})[0]; };
    return std::pair(grad([&](Value x) { return Values<1>{sum_all(gradient(x) * Value(d))}; }, x),
                     jvp(gradient, {x}, {d}).second);
  };
  const auto [reverse, forward] = hessian_along([&](Value x) { return mlp(net.shape, net.params, x); }, x, d);
  const auto [exact, also_exact] = hessian_along(
      [&](Value x) { return mlp(net.shape, in_double(net.params), x); }, in_double(x), in_double(d));
  CHECK(difference(exact, also_exact) < 1e-10);   // double, by two ways
  CHECK(difference(reverse, exact) < tolerance);
  CHECK(difference(forward, exact) < tolerance);
  // along the parameters
  const Tensor dp = inputs(1, net.params.cols, 5);
  const auto along = [&](Tensor params, Tensor x, Tensor dp) {
    return jvp([&](Value params) { return mlp(net.shape, params, x); }, {params}, {dp}).second;
  };
  CHECK(difference(along(net.params, x, dp), along(in_double(net.params), in_double(x), in_double(dp))) < tolerance);
}

// Forward over forward: both first derivatives and the mixed second one.
TEST_CASE("two tangents at once through a fused network") {
  ArenaScope scope;
  const Net net = make_net(3, 8, 2, Activation::gelu, Norm::before_activation);
  const Tensor x = inputs(5, 3, 1), d = inputs(5, 3, 2), e = inputs(5, 3, 3);
  const auto both = [&](Tensor params, auto as) {
    const auto inner = [&](Value x) {
      const auto [y, dy] = jvp([&](Value x) { return mlp(net.shape, params, x); }, {x}, {as(d)});
      return Values<2>{y, dy};
    };
    const auto [y, by_e] = jvp(inner, {as(x)}, {as(e)});
    return Values<4>{y[0], y[1], by_e[0], by_e[1]};
  };
  const Values<4> fused = both(net.params, [](Tensor x) { return Value(x); });
  const Values<4> exact = both(in_double(net.params), [](Tensor x) { return Value(in_double(x)); });
  for (int i = 0; i < 4; ++i) {
    CAPTURE(i);
    CHECK(difference(fused[i], exact[i]) < tolerance);
  }
}

TEST_CASE("several directions from one row") {
  ArenaScope scope;
  const Net net = make_net(9, 20, 3, Activation::gelu, Norm::before_activation);
  const Tensor x = inputs(4, 9, 1), dx = inputs(12, 5, 2);
  const auto [y, dy] = mlp_directions(net.shape, net.params, x, 2, dx);
  const auto [exact_y, exact_dy] =
      mlp_directions_composite(net.shape, in_double(net.params), in_double(x), 2, in_double(dx));
  CHECK(difference(y, exact_y) < tolerance);
  CHECK(difference(dy, exact_dy) < tolerance);
  CHECK(dy.rows() == 12);
  // A gradient through it takes the composite.
  const auto along = [&](Value params) {
    return Values<1>{mean_all(mlp_directions(net.shape, params, x, 2, dx).second)};
  };
  const auto composite = [&](Value params) {
    return Values<1>{mean_all(mlp_directions_composite(net.shape, params, in_double(x), 2, in_double(dx)).second)};
  };
  CHECK(difference(grad(along, net.params), grad(composite, in_double(net.params))) < tolerance);
  CHECK_THROWS_AS(mlp_directions(net.shape, net.params, x, 5, dx), Error);
  CHECK_THROWS_AS(mlp_directions(net.shape, net.params, x, 2, inputs(7, 5, 2)), Error);
}

TEST_CASE("rows that share inputs") {
  ArenaScope scope;
  const Net net = make_net(9, 20, 3, Activation::gelu, Norm::before_activation);
  const Tensor own = inputs(12, 4, 1), shared = inputs(3, 5, 2), d = inputs(12, 4, 3);
  for (bool own_leads : {true, false}) {
    const auto fused = [&](Value own) { return mlp_shared(net.shape, net.params, own, shared, own_leads); };
    const auto composite = [&](Value own) {
      return mlp_shared_composite(net.shape, in_double(net.params), own, in_double(shared), own_leads);
    };
    CHECK(difference(fused(own), composite(in_double(own))) < tolerance);
    CHECK(difference(jvp(fused, {own}, {d}).second, jvp(composite, {in_double(own)}, {in_double(d)}).second) < tolerance);
  }
  CHECK_THROWS_AS(mlp_shared(net.shape, net.params, inputs(10, 4, 1), shared, true), Error);
  CHECK_THROWS_AS(mlp(net.shape, net.params, own), Error);
  CHECK_THROWS_AS(mlp(net.shape, Value(inputs(1, 20, 1)), inputs(2, 9, 1)), Error);
}

TEST_CASE("value and gradient by the own inputs") {
  ArenaScope scope;
  using meander::testing::central_difference, meander::testing::Inputs;
  const Tensor own = inputs(12, 4, 1), shared = inputs(3, 5, 2), d = inputs(12, 4, 3);
  const Tensor own_double = in_double(own), d_double = in_double(d);
  for (Activation activation : meander::kernels::activations)
    for (Norm norm : {Norm::none, Norm::before_activation, Norm::after_activation})
      for (bool own_leads : {true, false}) {
        CAPTURE(int(activation));
        CAPTURE(int(norm));
        CAPTURE(own_leads);
        const Net net = make_net(9, 20, 1, activation, norm);
        const auto fused = [&](Value own) {
          const auto [y, gradient] = mlp_shared_gradient(net.shape, net.params, own, shared, own_leads);
          return Values<2>{y, gradient};
        };
        const auto composite = [&](Tensor params, Value own, Tensor shared) {
          const auto [y, gradient] = mlp_shared_gradient_composite(net.shape, params, own, shared, own_leads);
          return Values<2>{y, gradient};
        };
        const auto exactly = [&](Value own) { return composite(in_double(net.params), own, in_double(shared)); };
        const Values<2> mine = fused(own), same = composite(net.params, own, shared), exact = exactly(own_double);
        const Values<2> curvature = jvp(fused, {own}, {d}).second;  // takes the composite
        const Values<2> exact_curvature = jvp(exactly, {own_double}, {d_double}).second;
        for (int i : {0, 1}) {
          CHECK(difference(mine[i], same[i]) < tolerance);
          CHECK(difference(mine[i], exact[i]) < tolerance);
          CHECK(difference(curvature[i], exact_curvature[i]) < tolerance);
        }
        // Rows do not mix: each one's gradient along d is the difference of its values.
        const Tensor expected = central_difference([&](Value own) { return exactly(own)[0]; }, Inputs<1>{own_double},
                                                   Inputs<1>{d_double});
        CHECK(difference(sum_row(exact[1] * Value(d_double)), expected) < meander::testing::against_differences);
      }
  const Net one = make_net(9, 20, 1, Activation::mish, Norm::none);
  const Net two = make_net(9, 20, 2, Activation::mish, Norm::none);
  CHECK_THROWS_WITH_AS(mlp_shared_gradient(two.shape, two.params, own, shared, true),
                       "mlp_shared_gradient: the network has 2 outputs, not one", Error);
  CHECK_THROWS_AS(mlp_shared_gradient(one.shape, one.params, inputs(10, 4, 1), shared, true), Error);
  CHECK_THROWS_AS(mlp_shared_gradient(one.shape, one.params, inputs(12, 3, 1), shared, true), Error);
  CHECK_THROWS_AS(mlp_shared_gradient(one.shape, Value(inputs(1, 20, 1)), own, shared, true), Error);
}
