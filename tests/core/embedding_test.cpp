// Protects the fused embedding of times: against its composite in float32 and in double, with learnt and with fixed
// frequencies, tangents of the last rows, the gradient into the flat buffer, and all that falls back to the composite:
// the gradient by the times and second derivatives.
#include <meander/core/operations.h>

#include "derivatives.h"

using namespace meander;
using meander::kernels::Activation;
using meander::kernels::EmbeddingShape;
using meander::testing::difference;
using meander::testing::random_matrix;

namespace {

constexpr int64_t before = 7;

EmbeddingShape make_shape(Activation activation) {
  EmbeddingShape s{.frequencies = 5, .hidden = 12, .width = 6, .activation = activation};
  s.frequency = before, s.weight0 = s.frequency + 5, s.bias0 = s.weight0 + 10 * 12, s.weight1 = s.bias0 + 12;
  s.bias1 = s.weight1 + 12 * 6;
  return s;
}
Tensor single(Tensor x) { return cast(x, DType::float32); }

// float32 against double: rounding of angles up to 20 shows as 1e-6, times the slopes; 2e-5 has room.
constexpr double tolerance = 2e-5;

}  // namespace

TEST_CASE("the fused embedding is its composite") {
  ArenaScope scope;
  const float fixed[] = {3.2f, 1.5f, 0.7f, 0.3f, 0.1f};
  for (Activation activation : meander::kernels::activations)
    for (bool learnt : {true, false})
      for (int64_t tangent_rows : {9, 4}) {
        CAPTURE(int(activation));
        CAPTURE(learnt);
        CAPTURE(tangent_rows);
        EmbeddingShape s = make_shape(activation);
        if (!learnt) s.fixed = fixed;
        const Tensor params = random_matrix(1, s.bias1 + s.width + 3, 1, 0.4), t = random_matrix(9, 1, 2, 0.3, 0.5);
        const Tensor dt = random_matrix(tangent_rows, 1, 3), cy = random_matrix(9, s.width, 4);
        const Tensor cdy = random_matrix(tangent_rows, s.width, 5);
        // Value, tangent, gradients through the value by the parameters alone and by the times too, and through both.
        const auto everything = [&](auto net, auto as) {
          Values<7> e;
          std::tie(e[0], e[1]) = jvp([&](Value t) { return net(as(params), t); }, {as(t)}, {as(dt)});
          const auto of_params = [&](Value params) {
            const auto [y, dy] = jvp([&](Value t) { return net(params, t); }, {as(t)}, {as(dt)});
            return Values<2>{y, dy};
          };
          e[2] = vjp(of_params, {as(params)}).pull({as(cy), Value()})[0];
          e[3] = vjp(of_params, {as(params)}).pull({as(cy), as(cdy)})[0];
          e[4] = vjp([&](Value params) { return net(params, as(t)); }, {as(params)}).pull({as(cy)})[0];
          const auto of_both = vjp([&](Value params, Value t) { return net(params, t); }, {as(params), as(t)});
          e[5] = of_both.pull({as(cy)})[0], e[6] = of_both.pull({as(cy)})[1];
          return e;
        };
        const auto fused = [&](Value params, Value t) { return time_embedding(s, params, t); };
        const auto composite = [&](Value params, Value t) { return time_embedding_composite(s, params, t); };
        const auto in_double = [](Tensor x) { return Value(x); };
        const auto in_float = [](Tensor x) { return Value(single(x)); };
        const Values<7> mine = everything(fused, in_float), same = everything(composite, in_float);
        const Values<7> exact = everything(composite, in_double);
        for (size_t i = 0; i < mine.size(); ++i) {
          CAPTURE(i);
          CHECK(difference(mine[i], same[i]) < tolerance);
          CHECK(difference(mine[i], exact[i]) < tolerance);
        }
        CHECK(mine[1].rows() == tangent_rows);
        for (int64_t i = 0; i < (learnt ? before : s.weight0); ++i) CHECK(mine[2].detached.f32()[i] == 0);
      }
}

TEST_CASE("the embedding along its parameters") {
  ArenaScope scope;
  const EmbeddingShape s = make_shape(Activation::gelu);
  const Tensor params = random_matrix(1, s.bias1 + s.width + 3, 1, 0.4), t = random_matrix(9, 1, 2, 0.3, 0.5);
  const Tensor dp = random_matrix(1, params.size(), 6), dt = random_matrix(9, 1, 3);
  const auto along = [&](auto net, auto as, bool of_times) {
    return jvp([&](Value params, Value t) { return net(params, t); }, {as(params), as(t)},
               {as(dp), of_times ? as(dt) : Value()});
  };
  const auto fused = [&](Value params, Value t) { return time_embedding(s, params, t); };
  const auto composite = [&](Value params, Value t) { return time_embedding_composite(s, params, t); };
  for (const bool of_times : {false, true}) {
    const auto [y, dy] = along(fused, [](Tensor x) { return Value(single(x)); }, of_times);
    const auto [expected, dexpected] = along(composite, [](Tensor x) { return Value(x); }, of_times);
    CHECK(difference(y.detached, expected.detached) < tolerance);
    CHECK(difference(dy.detached, dexpected.detached) < tolerance);
  }
}

TEST_CASE("the composite embedding against differences, and what does not fit") {
  ArenaScope scope;
  const EmbeddingShape s = make_shape(Activation::gelu);
  const Tensor params = random_matrix(1, s.bias1 + s.width, 1, 0.4), t = random_matrix(3, 1, 2, 0.3, 0.5);
  meander::testing::check_derivatives([&](Value params, Value t) { return time_embedding(s, params, t); },
                                      meander::testing::Inputs<2>{params, t});
  CHECK_THROWS_AS(time_embedding(s, single(params), single(random_matrix(3, 2, 2))), Error);
  CHECK_THROWS_AS(time_embedding(s, single(random_matrix(1, 20, 1)), single(t)), Error);
}
