// Protects the flow network: that its shortcuts (a state shared by its positions, one time for all rows) give what the
// long way gives, and that the derivatives by position and times are right.
#include <doctest/doctest.h>

#include "../core/derivatives.h"
#include <meander/nn/flow_network.h>

using namespace meander;
using namespace meander::testing;

namespace {
Tensor single(int64_t rows, int64_t cols, uint64_t seed) {
  return cast(random_matrix(rows, cols, seed, 0.5), DType::float32);
}
Tensor initialised(const ParameterLayout& layout) {
  const Tensor params = empty(1, layout.size());
  layout.initialise(params.f32(), Stream(1, Purpose::test, 0));
  return params;
}
}  // namespace

TEST_CASE("a flow network's shortcuts are the long way") {
  ArenaScope scope;
  for (const Times kind : {Times::fourier, Times::sinusoidal, Times::plain, Times::plain_t}) {
    CAPTURE(static_cast<int>(kind));
    const FlowNetwork net(7, 3, {32, 2}, 3, kind);
    const Value params = initialised(net.layout);
    const Value state = single(4, 7, 2), x = single(12, 3, 3), t = full(1, 1, 0.5), r = full(1, 1, 0.25);
    const Value shortcut = net(params, state, x, t, r);
    const Value long_way = net(params, repeat_rows(state, 3), x, broadcast_to(t, 12, 1), broadcast_to(r, 12, 1));
    CHECK(shortcut.rows() == 12);
    CHECK(shortcut.cols() == 3);
    CHECK(difference(shortcut, long_way) < 1e-6);   // another order of the first layer's sum
    const auto column = [](Value a, Value b) { return reshape(concat_columns(a, b), 2, 1); };
    const Value times = net.project_times(params, column(full(1, 1, 0.75), t), column(full(1, 1, 0.5), r));
    const Value share = net.project_state(params, state) + slice_rows(times, 1, 1);
    CHECK(difference(net.from_projection(params, share, x), long_way) < 1e-6);
    const Value rounded = net.from_projection(params, share, x, kernels::Precision::bfloat16);
    CHECK(difference(rounded, long_way) > 1e-5);
    CHECK(difference(rounded, long_way) < 3e-2);    // two roundings of 2^-9 at every product
    // t and r have inputs or embeddings of their own, and no r is r = t.
    CHECK((difference(net(params, state, x, t, t), shortcut) < 1e-3) == (kind == Times::plain_t));
    CHECK(difference(net(params, state, x, r, r), net(params, state, x, t, t)) > 1e-3);
    CHECK(difference(net(params, state, x, t, Value()), net(params, state, x, t, t)) < 1e-6);
  }
}

TEST_CASE("a flow network's derivatives by position, times and parameters, in double") {
  ArenaScope scope;
  for (const Times kind : {Times::fourier, Times::sinusoidal, Times::plain, Times::plain_t}) {
    const FlowNetwork net(4, 2, {8, 2}, 2, kind);
    const Tensor params = cast(initialised(net.layout), DType::float64);
    const Tensor state = random_matrix(3, 4, 2);
    const Tensor t = random_matrix(3, 1, 5, 0.1, 0.6), r = random_matrix(3, 1, 6, 0.05, 0.2);
    check_derivatives([&](Value x, Value t, Value r) { return net(params, state, x, t, r); },
                      Inputs<3>{random_matrix(3, 2, 3), t, r});
    if (kind != Times::plain_t)
      check_derivatives(
          [&](Value state, Value x, Value r) {
            return net.from_projection(params, net.project_state(params, state) + net.project_times(params, t, r), x);
          },
          Inputs<3>{state, random_matrix(3, 2, 3), r});
    // Along the parameters to first order: the buffer is large.
    check_derivatives([&](Value params) { return net(params, state, random_matrix(3, 2, 3), t, r); }, Inputs<1>{params},
                      false);
  }
}
