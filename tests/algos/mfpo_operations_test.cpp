// Protects the phases of MFPO without gradient against their formulas (kernels/mfpo.h) in small operations on double, and
// the shapes they take.
#include <meander/algos/mfpo_operations.h>

#include "../core/derivatives.h"

using namespace meander;
using meander::testing::difference;
using meander::testing::random_matrix;

namespace {

constexpr int64_t batch = 5, actions = 3, k1 = 4, k2 = 6, atoms = 21;

Tensor single(Tensor x) { return cast(x, DType::float32); }
// Numbers as float32 has them, in double.
Tensor numbers(int64_t rows, int64_t cols, uint64_t seed, double scale = 1) {
  return cast(single(random_matrix(rows, cols, seed, scale)), DType::float64);
}
Tensor times() { return sigmoid(numbers(batch, 1, 1)).detached; }
Tensor weights(int64_t k, uint64_t seed) { return softmax(numbers(batch, k, seed)).detached; }

// float32 against double: a few ulp of sums of a few terms, and a factor 1 / t of about 10.
constexpr double tolerance = 1e-5;

}  // namespace

TEST_CASE("Gaussian proposals follow their formula") {
  ArenaScope scope;
  const Tensor x = numbers(batch, actions, 2), t = times(), f = sigmoid(numbers(batch * k2, actions, 3)).detached;
  const GaussianProposals p = gaussian_proposals(single(x), single(t), single(f));
  const Value lower = (Value(x) - (1 - Value(t))) / t, upper = (Value(x) + (1 - Value(t))) / t;
  const Value noise = truncated_normal(repeat_rows(lower, k2), repeat_rows(upper, k2), f);
  const Value action = (repeat_rows(x, k2) - repeat_rows(t, k2) * noise) / repeat_rows(1 - Value(t), k2);
  CHECK(difference(p.lower, lower) < tolerance);
  CHECK(difference(p.upper, upper) < tolerance);
  CHECK(difference(p.noise, noise) < tolerance);
  CHECK(difference(p.action, clip(action, -1, 1)) < tolerance);
  CHECK_THROWS_AS(gaussian_proposals(single(x), single(t), single(numbers(batch * k2 + 1, actions, 3))), Error);
}

TEST_CASE("weights and velocity of the proposals follow their formulas") {
  ArenaScope scope;
  const Tensor x = numbers(batch, actions, 2), t = times(), alpha = full(1, 1, 0.5, DType::float64);
  const Tensor a1 = tanh(numbers(batch * k1, actions, 3)).detached, a2 = tanh(numbers(batch * k2, actions, 4)).detached;
  const Tensor log_prob = numbers(batch * k1, 1, 5), q = numbers(batch, k1 + k2, 6);
  const ProposalWeights w =
      proposal_weights(single(x), single(t), single(a1), single(log_prob), single(q), single(alpha));
  const Value distance = sum_row(square(repeat_rows(x, k1) - repeat_rows(1 - Value(t), k1) * Value(a1)));
  const Value log_policy = slice_columns(Value(q) / alpha, 0, k1) - reshape(distance, batch, k1) / (2 * square(t)) -
                           reshape(log_prob, batch, k1);
  const Value log_gaussian = slice_columns(Value(q) / alpha, k1, k2);
  CHECK(difference(w.log_policy, log_policy) < tolerance);
  CHECK(difference(w.log_gaussian, log_gaussian) < tolerance);
  CHECK(difference(w.policy, softmax(log_policy)) < tolerance);
  CHECK(difference(w.gaussian, softmax(log_gaussian)) < tolerance);

  const Tensor w1 = weights(k1, 7), w2 = weights(k2, 8);
  const auto velocity = [&](Value w, Tensor a, int64_t k) {
    return sum_groups(reshape(w, batch * k, 1) * ((repeat_rows(x, k) - Value(a)) / repeat_rows(t, k)), k);
  };
  const Value v1 = velocity(w1, a1, k1), v2 = velocity(w2, a2, k2), one = full(1, 1, 1, DType::float64);
  const Value ess1 = one / sum_row(square(w1)), ess2 = one / sum_row(square(w2));
  for (const auto mixture : {kernels::Mixture::ess, kernels::Mixture::half, kernels::Mixture::gaussian}) {
    CAPTURE(int(mixture));
    const ProposalVelocity v = proposal_velocity(mixture, single(x), single(t), {{}, {}, single(w1), single(w2)},
                                                 single(a1), single(a2));
    const Value share = mixture == kernels::Mixture::ess    ? ess1 / (ess1 + ess2)
                        : mixture == kernels::Mixture::half ? 0.5 * (ess1 / ess1)
                                                            : 0 * ess1;
    CHECK(difference(v.policy, v1) < tolerance);
    CHECK(difference(v.gaussian, v2) < tolerance);
    CHECK(difference(v.ess_policy, ess1) < tolerance);
    CHECK(difference(v.ess_gaussian, ess2) < tolerance);
    CHECK(difference(v.share, share) < tolerance);
    CHECK(difference(v.mixed, share * v1 + (1 - share) * v2) < tolerance);
  }
  // Policy proposals alone.
  const ProposalWeights alone = proposal_weights(single(x), single(t), single(a1), single(log_prob),
                                                 single(slice_columns(q, 0, k1).detached), single(alpha));
  CHECK(difference(alone.policy, softmax(log_policy)) < tolerance);
  CHECK(!alone.gaussian);
  const ProposalVelocity v = proposal_velocity(kernels::Mixture::ess, single(x), single(t), {{}, {}, single(w1), {}},
                                               single(a1), {});
  CHECK(difference(v.mixed, v1) < tolerance);
  CHECK(difference(v.share, ess1 / ess1) == 0);
  CHECK_THROWS_AS(proposal_weights(single(x), single(t), single(a1), single(log_prob), single(numbers(batch, 2, 6)),
                                   single(alpha)), Error);
}

TEST_CASE("Hutchinson's estimate follows its formula") {
  ArenaScope scope;
  const Tensor probe = numbers(batch * k1, actions, 2), derivative = numbers(batch * k1, actions, 3);
  const Value expected = sum_groups(sum_row(Value(probe) * Value(derivative)), k1) / double(k1);
  CHECK(difference(hutchinson(batch, single(probe), single(derivative)), expected) < tolerance);
  CHECK_THROWS_AS(hutchinson(batch, single(probe), single(numbers(batch * k1 + 1, actions, 3))), Error);
}

TEST_CASE("the soft target follows its formula") {
  ArenaScope scope;
  const double low = -2, high = 3, discount = 0.9;
  const Tensor logits[2] = {numbers(batch, atoms, 1), numbers(batch, atoms, 2)}, z = empty(1, atoms, DType::float64);
  for (int64_t j = 0; j < atoms; ++j) z.as<double>()[j] = low + (high - low) * double(j) / double(atoms - 1);
  const Tensor reward = numbers(batch, 1, 3, 2), log_prob = numbers(batch, 1, 4), alpha = full(1, 1, 0.5, DType::float64);
  const Tensor mask = full(batch, 1, 1, DType::float64);
  mask.as<double>()[2] = 0;
  const Value position = Value(reward) + discount * (Value(mask) * (Value(z) - Value(alpha) * Value(log_prob)));
  const Value positions = clip(position, low, high);
  Value prob[2], projected[2], mean[2];
  for (int i : {0, 1}) {
    prob[i] = softmax(logits[i]);
    projected[i] = c51_project(prob[i], positions, low, high);
    mean[i] = sum_row(projected[i] * Value(z));
  }
  const auto bound = [](double x) { return Value(full(1, 1, x, DType::float64)); };
  const Value mass = 0.5 * (prob[0] + prob[1]);
  for (bool smaller : {true, false}) {
    const SoftTarget s = soft_target({single(z), low, high}, {single(logits[0]), single(logits[1])}, single(reward),
                                     single(mask), single(log_prob), single(alpha), discount, smaller);
    CHECK(difference(s.positions, positions) < tolerance);
    for (int i : {0, 1}) {
      CHECK(difference(s.projected[i], projected[i]) < tolerance);
      CHECK(difference(s.mean[i], mean[i]) < tolerance);
    }
    CHECK(difference(s.chosen, smaller ? select(less(mean[0], mean[1]), projected[0], projected[1])
                                       : 0.5 * (projected[0] + projected[1])) < tolerance);
    CHECK(difference(s.below, sum_row(mass * less(position, bound(low)))) < tolerance);
    CHECK(difference(s.above, sum_row(mass * less(bound(high), position))) < tolerance);
  }
  CHECK_THROWS_AS(soft_target({single(z), low, high}, {single(logits[0]), single(numbers(batch, 3, 1))}, single(reward),
                              single(mask), single(log_prob), single(alpha), discount, true), Error);
}
