// Protects the way from noise to an action: the steps against a plain loop over the network in double, in either kind,
// and that what is kept between calls follows the parameters.
#include <meander/nn/flow_sampler.h>

#include <doctest/doctest.h>

#include "../core/derivatives.h"

using namespace meander;
using namespace meander::testing;

namespace {

constexpr int S = 5, A = 2, K = 3;

Tensor single(Tensor x) { return cast(x, DType::float32); }
Value time(double t) { return full(1, 1, t, DType::float64); }

struct Sampled {
  explicit Sampled(Times kind) : net(S, A, {16, 2}, A, kind), params(net.layout.size()) {
    net.layout.initialise(params, Stream(1, Purpose::test, 0));
  }
  // x <- x - u(s, x, t, r) / T at t = 1, 1 - 1/T, ..., 1/T
  Value loop(Value state, Value x, int steps, bool euler) const {
    for (int i = 0; i < steps; ++i) {
      const double t = 1 - double(i) / steps, r = euler ? t : 1 - double(i + 1) / steps;
      x = x - net(cast(params.tensor(), DType::float64), state, x, broadcast_to(time(t), x.rows(), 1),
                  broadcast_to(time(r), x.rows(), 1)) / steps;
    }
    return x;
  }
  FlowNetwork net;
  Buffer params;
};

}  // namespace

TEST_CASE("steps of the mean velocity and Euler's, against a loop") {
  ArenaScope scope;
  const Tensor state = random_matrix(4, S, 1), noise = random_matrix(4 * K, A, 2);
  for (const Times kind : {Times::fourier, Times::sinusoidal, Times::plain, Times::plain_t})
    for (const int steps : {1, 2, 10})
      for (const bool euler : {false, true}) {
        CAPTURE(static_cast<int>(kind));
        CAPTURE(steps);
        CAPTURE(euler);
        const Sampled s(kind);
        FlowSampler sampler(s.net, s.params, steps, euler);
        int64_t calls = 0;
        const Tensor first = single(noise);
        const Tensor x = sampler(single(state), first, kernels::Precision::float32, [&](int64_t i, Tensor at) {
          CHECK(i == calls++);
          if (i == 0) CHECK(difference(at, first) == 0);
          else CHECK(difference(at, first) > 1e-3);
        });
        CHECK(calls == steps);
        // Float32 keeps about six digits of a network's value; the steps' errors add up and shrink by T.
        CHECK(difference(x, s.loop(repeat_rows(state, K), noise, steps, euler)) < 2e-5);
        CHECK(difference(sampler(single(state), first), x) == 0);
      }
}

TEST_CASE("what is kept is outdated when it is said to be") {
  ArenaScope scope;
  const Tensor state = random_matrix(4, S, 1), noise = random_matrix(4, A, 2);
  Sampled s(Times::plain);
  FlowSampler sampler(s.net, s.params, 2, false);
  const Tensor before = sampler(single(state), single(noise));
  s.net.layout.initialise(s.params, Stream(2, Purpose::test, 0));
  sampler.outdate();
  const Tensor after = sampler(single(state), single(noise));
  CHECK(difference(after, before) > 1e-3);
  CHECK(difference(after, s.loop(state, noise, 2, false)) < 2e-5);
}
