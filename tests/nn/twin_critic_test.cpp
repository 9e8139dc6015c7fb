// Protects the two critics: values and derivatives against the same network in double, the losses, what is chosen of
// both and the targets that follow.
#include <meander/nn/twin_critic.h>

#include <doctest/doctest.h>

#include <cmath>

#include "../core/derivatives.h"

using namespace meander;
using namespace meander::testing;

namespace {

constexpr int S = 5, A = 3;

const Hidden shapes[] = {{16, 2, kernels::Activation::mish, kernels::Norm::none},
                         {16, 2, kernels::Activation::gelu, kernels::Norm::after_activation},
                         {16, 2, kernels::Activation::relu, kernels::Norm::none, Initial::fan_in_uniform}};

Tensor single(Tensor x) { return cast(x, DType::float32); }
Tensor in_double(const TrainState& network) { return cast(network.tensor(), DType::float64); }

// Q of one action a state in double, from the layer-by-layer composite.
Value exact(const TwinCritic& critic, Value params, Value state, Value action) {
  return mlp_composite(critic.trunk(), params, concat_columns(state, action));
}

// Two hidden layers in float32 keep about six digits.
constexpr double rounding = 1e-5;

}  // namespace

TEST_CASE("two critics that differ, targets equal to them") {
  const TwinCritic critic(S, A, shapes[0], TwinCritic::Chosen::smaller, 3),
      same(S, A, shapes[0], TwinCritic::Chosen::smaller, 3), other(S, A, shapes[0], TwinCritic::Chosen::smaller, 4);
  const auto equal = [](const TrainState& a, const TrainState& b) {
    return std::equal(a.params.data(), a.params.data() + a.params.size(), b.params.data());
  };
  CHECK(!equal(critic.online[0], critic.online[1]));
  // Each by the stream of its own purpose, which files of before rest on.
  TrainState first(critic.layout.size()), second(critic.layout.size());
  critic.layout.initialise(first.params, Stream(3, Purpose::initialise_critic1, 0));
  critic.layout.initialise(second.params, Stream(3, Purpose::initialise_critic2, 0));
  CHECK(equal(critic.online[0], first));
  CHECK(equal(critic.online[1], second));
  for (int i : {0, 1}) {
    CHECK(equal(critic.online[i], critic.target[i]));
    CHECK(equal(critic.online[i], same.online[i]));
    CHECK(!equal(critic.online[i], other.online[i]));
  }
}

TEST_CASE("values and their derivatives by the action are those in double") {
  ArenaScope scope;
  for (const Hidden& hidden : shapes) {
    TwinCritic critic(S, A, hidden, TwinCritic::Chosen::smaller, 3);
    critic.target[0].params.data()[0] += 0.5f;   // no longer the online one
    const Tensor state = random_matrix(4, S, 1), action = random_matrix(12, A, 2);
    const Value states = repeat_rows(state, 3);
    const auto online = critic.values(critic.online, single(state), single(action)).q;
    const auto target = critic.values(critic.target, single(state), single(action)).q;
    for (int i : {0, 1}) {
      const Tensor params = in_double(critic.online[i]);
      const Value q = exact(critic, params, states, action);
      CHECK(online[i].rows == 4);
      CHECK(online[i].cols == 3);
      CHECK(difference(reshape(online[i], 12, 1), q) < rounding);
      const Value followed = exact(critic, in_double(critic.target[i]), states, action);
      CHECK(difference(reshape(target[i], 12, 1), followed) < rounding);

      const auto [value, gradient] =
          critic.value_and_gradient(critic.online[i].tensor(), single(state), single(action));
      CHECK(difference(value, q) < rounding);
      for (int j = 0; j < A; ++j) {
        const Tensor step = zeros(1, A, DType::float64);
        step.as<double>()[j] = 1e-6;   // short: a ReLU's kink within it would show
        const Value slope = (exact(critic, params, states, Value(action) + step) -
                             exact(critic, params, states, Value(action) - step)) / 2e-6;
        CHECK(difference(slice_columns(gradient, j, 1), slope) < rounding);
      }
    }
  }
}

TEST_CASE("with atoms the value is the mean of the distribution, and the smaller or the mean of both is chosen") {
  ArenaScope scope;
  for (const auto chosen : {TwinCritic::Chosen::smaller, TwinCritic::Chosen::mean}) {
    TwinCritic critic(S, A, {16, 2}, {11, -3, 7}, chosen, 3);
    CHECK(critic.atoms().f32()[0] == -3);
    CHECK(critic.atoms().f32()[10] == 7);
    CHECK(critic.atoms().f32()[5] == doctest::Approx(2));
    const Tensor state = single(random_matrix(3, S, 1)), action = single(random_matrix(6, A, 2));
    const Value params = critic.online[0].tensor(), states = repeat_rows(state, 2);
    const Value logits = critic.outputs(params, states, action), q = critic.value(params, state, action);
    CHECK(logits.cols() == 11);
    CHECK(q.rows() == 6);
    CHECK(difference(q, sum_row(softmax(logits) * Value(critic.atoms()))) < rounding);
    for (const Value& s : {Value(state), states}) {
      const Value rounded = critic.outputs(params, s, action, kernels::Precision::bfloat16);
      CHECK(difference(rounded, logits) > 1e-5);
      CHECK(difference(rounded, logits) < 3e-2);   // two roundings of 2^-9 at every product
    }

    const auto of_online = critic.values(critic.online, state, action);
    critic.target[0].params.data()[0] += 0.5f;     // so that the two pairs differ
    for (const auto* critics : {&critic.online, &critic.target}) {
      const auto two = critic.values(*critics, state, action);
      for (int i = 0; i < 6; ++i) {
        const double q1 = two.q[0].f32()[i], q2 = two.q[1].f32()[i];
        CHECK(two.chosen.f32()[i] ==
              doctest::Approx(chosen == TwinCritic::Chosen::smaller ? std::min(q1, q2) : (q1 + q2) / 2).epsilon(1e-6));
      }
    }
    CHECK(difference(of_online.q[0], critic.values(critic.target, state, action).q[0]) > 1e-4);

    const Tensor distribution = softmax(single(random_matrix(6, 11, 5))).detached;
    const auto loss = critic.cross_entropy(1, states.detached, action, distribution);
    const Value log_softmax_of = log_softmax(critic.outputs(critic.online[1].tensor(), states, action));
    CHECK(loss.loss == doctest::Approx(-element(mean_column(sum_row(Value(distribution) * log_softmax_of)), 0))
                           .epsilon(rounding));
  }
}

// scale / B sum_i weight_i (Q_i - y_i)^2 and its derivative by the parameters, in plain double.
TEST_CASE("the loss, weighted and not") {
  ArenaScope scope;
  const TwinCritic critic(S, A, shapes[1], TwinCritic::Chosen::smaller, 3);
  const Tensor state = random_matrix(6, S, 1), action = random_matrix(6, A, 2), y = random_matrix(6, 1, 3);
  const Tensor weight = single(zeros(6, 1, DType::float64));
  for (int i : {0, 2, 5}) weight.f32()[i] = 1;
  for (const bool weighted : {false, true})
    for (const double scale : {1.0, 0.5}) {
      const auto loss = critic.loss(1, single(state), single(action), single(y), weighted ? weight : Tensor(), scale);
      const auto expected = [&](Value params) {
        const Value q = exact(critic, params, state, action);
        double sum = 0;
        for (int i = 0; i < 6; ++i) {
          const double error = element(q, i) - y.as<double>()[i];
          sum += (weighted ? weight.f32()[i] : 1) * error * error;
        }
        return scale * sum / 6;
      };
      const Tensor params = in_double(critic.online[1]);
      CHECK(loss.loss == doctest::Approx(expected(params)).epsilon(rounding));
      const Tensor d = random_matrix(1, params.size(), 4);
      const auto along = [&](double by) { return expected(Value(params) + by * Value(d)); };
      const double slope = (along(1e-6) - along(-1e-6)) / 2e-6;
      CHECK(dot(loss.gradient, d) == doctest::Approx(slope).epsilon(1e-4));   // a sum over all parameters
    }
}

TEST_CASE("a step moves each parameter against its gradient, and the targets follow at their rate") {
  ArenaScope scope;
  TwinCritic critic(S, A, shapes[0], TwinCritic::Chosen::smaller, 3);
  const Tensor state = single(random_matrix(4, S, 1)), action = single(random_matrix(4, A, 2));
  const Tensor y = single(random_matrix(4, 1, 3));
  const Tensor before = copy(critic.online[0].tensor()), target = copy(critic.target[0].tensor());
  const TwinCritic::Loss loss[] = {critic.loss(0, state, action, y), critic.loss(1, state, action, y)};
  critic.descend(loss, {.learning_rate = 0.01}, 1);
  // Adam's first step moves each parameter by the rate, against the gradient's sign.
  for (int64_t j = 0; j < before.size(); ++j) {
    const double g = loss[0].gradient.f32()[j];
    if (std::abs(g) < 1e-4) continue;   // there its epsilon shows
    CHECK(critic.online[0].params.data()[j] - before.f32()[j] == doctest::Approx(g > 0 ? -0.01 : 0.01).epsilon(1e-3));
  }
  const auto online = critic.values(critic.online, state, action).q;
  const Tensor state2 = cast(state, DType::float64), action2 = cast(action, DType::float64);
  CHECK(difference(online[0], exact(critic, in_double(critic.online[0]), state2, action2)) < rounding);

  critic.follow(0.25);
  for (int64_t j = 0; j < before.size(); ++j)
    CHECK(critic.target[0].params.data()[j] ==
          doctest::Approx(0.75 * target.f32()[j] + 0.25 * critic.online[0].params.data()[j]).epsilon(1e-6));
}

TEST_CASE("with a rate both targets follow, each its own critic, and without one neither does") {
  ArenaScope scope;
  for (const double rate : {0.0, 0.25, 1.0}) {
    TwinCritic critic(S, A, shapes[0], TwinCritic::Chosen::smaller, 3);
    const Tensor state = single(random_matrix(4, S, 1)), action = single(random_matrix(4, A, 2));
    const Tensor y = single(random_matrix(4, 1, 3));
    const Tensor before[] = {copy(critic.target[0].tensor()), copy(critic.target[1].tensor())};
    const TwinCritic::Loss loss[] = {critic.loss(0, state, action, y), critic.loss(1, state, action, y)};
    critic.descend(loss, {.learning_rate = 0.01}, 1, rate);
    for (int i : {0, 1}) {
      const Value expected = (1 - rate) * Value(before[i]) + rate * Value(critic.online[i].tensor());
      CHECK(difference(critic.online[i].tensor(), before[i]) > 1e-3);    // Adam's first step is 0.01
      CHECK(difference(critic.target[i].tensor(), expected) < 1e-6);     // one rounding of numbers of about 1
      CHECK((difference(critic.target[i].tensor(), before[i]) == 0) == (rate == 0));
    }
  }
}
