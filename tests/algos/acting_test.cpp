// Protects how every algorithm acts: exploration and evaluation recomposed in double from its networks and a table of
// how many candidates there are, whose critics choose, in how many steps, with what noise. (SAC: sac_test.cpp.)
#include <doctest/doctest.h>

#include <cmath>

#include "small_agents.h"

using namespace meander;
using namespace meander::testing;

namespace {

constexpr uint64_t seed = 7;

struct Acting {
  std::string algorithm;
  int64_t explore, act;             // candidates
  const char *critics[2], *others[2];   // that choose, and that do not
  bool smaller;                     // of the two values, else their mean
  int64_t steps;
  bool euler;
  bool noise;                       // exploration adds some
};
constexpr const char *online[] = {"critic1/", "critic2/"}, *target[] = {"target1/", "target2/"};
const Acting all[] = {
    {"mfpo", 1, 5, {target[0], target[1]}, {online[0], online[1]}, true, 2, false, false},
    {"som", 4, 4, {online[0], online[1]}, {target[0], target[1]}, true, 1, false, true},
    {"mvp", 4, 4, {online[0], online[1]}, {target[0], target[1]}, false, 1, false, false},
    {"qc", 4, 4, {online[0], online[1]}, {target[0], target[1]}, false, 10, true, false},
};

// All four critics apart.
Made made_for(const std::string& algorithm) {
  Made made = make(algorithm, seed, {{"candidates", 4}, {"evaluation_candidates", 5}});
  uint64_t i = 0;
  for (const char* name : {online[0], online[1], target[0], target[1]}) shake(made.learner, name, ++i);
  return made;
}

Value in_steps(Learner& learner, const Acting& a, Value state, Value noise) {
  const FlowNetwork& u = *std::get<PolicyDescription::Flow>(learner.policy().actor).network;
  const Tensor params = in_double(learner, "actor/");
  const auto time = [](double t) { return Value(full(1, 1, t, DType::float64)); };
  const double step = 1 / double(a.steps);
  Value x = noise;
  for (int64_t i = 0; i < a.steps; ++i) {
    const double t = 1 - double(i) * step;
    x = x - step * u(params, state, x, time(t), a.euler ? Value() : time(t - step));
  }
  return clip(x, -1, 1);
}

// The candidate with the largest value, of MFPO's distributions over [-5, 5] the mean.
int64_t best(Learner& learner, const char* const (&critics)[2], bool smaller, Value state, Value action) {
  const kernels::MlpShape& shape = *learner.policy().scores->network;
  const auto value = [&](const char* name) {
    const Value out = mlp_composite(shape, in_double(learner, name), concat_columns(state, action));
    if (out.cols() == 1) return out;
    const Tensor z = empty(1, out.cols(), DType::float64);
    for (int64_t j = 0; j < z.cols; ++j) z.as<double>()[j] = -5 + 10 * double(j) / double(z.cols - 1);
    return sum_row(softmax(out) * Value(z));
  };
  const Value q1 = value(critics[0]), q2 = value(critics[1]), q = smaller ? minimum(q1, q2) : q1 + q2;
  int64_t best = 0;
  for (int64_t k = 1; k < action.rows(); ++k)
    if (element(q, k) > element(q, best)) best = k;
  return best;
}

constexpr int tries = 24;
std::vector<float> state_of(uint64_t i) {
  std::vector<float> state(S);
  Stream random(i, Purpose::test, 5);
  for (float& x : state) x = static_cast<float>(random.normal());
  return state;
}

// Networks of two hidden layers in float32 keep about six digits, and there are up to ten steps.
constexpr double rounding = 2e-5;

// Acts at many states and holds each chunk against the recomposition by `candidates` of the noise of this purpose.
void check_chunks(const Acting& a, bool exploring) {
  CAPTURE(a.algorithm);
  const Made made = made_for(a.algorithm);
  const int64_t candidates = exploring ? a.explore : a.act, size = made.agent->chunk() * A;
  int not_first = 0, last = 0, by_others = 0, by_other_rule = 0;
  for (uint64_t i = 1; i <= tries; ++i) {
    ArenaScope scope;
    const std::vector<float> state = state_of(i);
    std::vector<float> chunk(static_cast<size_t>(size));
    if (exploring) made.agent->explore(state, i, chunk);
    else made.agent->act(state, i, chunk);

    const Value states = repeat_rows(twofold(view(state.data(), 1, S)), candidates);
    const Purpose purpose = exploring ? Purpose::explore : Purpose::evaluate;
    const Tensor noise = twofold(agent_normals(seed, purpose, i, candidates, size));
    const Value action = in_steps(made.learner, a, states, noise);
    const int64_t k = candidates > 1 ? best(made.learner, a.critics, a.smaller, states, action) : 0;
    Value expected = slice_rows(action, k, 1);
    if (exploring && a.noise) {
      const double deviation = 0.1 * std::exp(double(parameters(made.learner, "noise/")[0]));
      const Tensor added = twofold(agent_normals(seed, Purpose::exploration_noise, i, 1, size));
      expected = clip(expected + deviation * Value(added), -1, 1);
    }
    CHECK(difference(view(chunk.data(), 1, size), expected) < rounding);
    if (candidates == 1) continue;
    not_first += k != 0, last += k == candidates - 1;
    by_others += best(made.learner, a.others, a.smaller, states, action) != k;
    by_other_rule += best(made.learner, a.critics, !a.smaller, states, action) != k;
  }
  if (candidates == 1) return;
  // Another number of candidates, other critics and another rule would have shown.
  CHECK(not_first > 0);
  CHECK(last > 0);
  CHECK(by_others > 0);
  CHECK(by_other_rule > 0);
}

}  // namespace

TEST_CASE("exploration is the best of its candidates by the right critics, and the noise of its step") {
  for (const Acting& a : all) check_chunks(a, true);
}

TEST_CASE("evaluation is the best of all evaluation candidates by the right critics, without noise") {
  for (const Acting& a : all) check_chunks(a, false);
}

// Whatever a setting says is the number of candidates.
TEST_CASE("evaluation candidates are ten if nothing else is said, and then as many as is said") {
  const auto candidates = [](const char* algorithm, const std::map<std::string, double>& more) {
    return make(algorithm, seed, more).learner.policy().act_candidates;
  };
  CHECK(candidates("mfpo", {}) == 10);
  CHECK(candidates("mfpo", {{"evaluation_candidates", 3}}) == 3);
  for (const char* name : {"som", "mvp", "qc"}) CHECK(candidates(name, {{"candidates", 9}}) == 9);
  CHECK(candidates("sac", {}) == 1);
}

TEST_CASE("exploration differs from step to step and is the same for the same step") {
  for (const std::string& name : algorithm_names()) {
    CAPTURE(name);
    const Made made = make(name, seed, {{"candidates", 1}});
    const std::vector<float> state = state_of(1);
    const auto explored = [&](uint64_t step) {
      std::vector<float> chunk(static_cast<size_t>(made.agent->chunk() * A));
      made.agent->explore(state, step, chunk);
      return chunk;
    };
    for (uint64_t i = 1; i <= 8; ++i) {
      CHECK(explored(i) == explored(i));
      for (uint64_t j = 1; j < i; ++j) CHECK(explored(i) != explored(j));
    }
  }
}

// SOM's noise beside that of its flow: of an actor that gives nothing away, whose actions are the flow's noise.
TEST_CASE("SOM: the noise that exploration adds differs from step to step") {
  const Made with = make("som", seed, {{"candidates", 1}}), without = make("som", seed, {{"candidates", 1}});
  for (const Made* m : {&with, &without}) make_constant(m->learner, "actor/", 0);
  network(with.learner, "noise/").train_state->params.data()[0] = 0;      // deviation .1
  network(without.learner, "noise/").train_state->params.data()[0] = -60;   // none
  const std::vector<float> state = state_of(1);
  std::vector<float> differences;
  for (uint64_t step = 1; step <= 40; ++step) {
    float a[A], b[A];
    with.agent->explore(state, step, a), without.agent->explore(state, step, b);
    for (int j = 0; j < A; ++j)
      if (std::abs(b[j]) < 0.5) differences.push_back(a[j] - b[j]);   // five deviations from the bounds
  }
  REQUIRE(differences.size() > 10);
  for (size_t i = 0; i < differences.size(); ++i)
    for (size_t j = 0; j < i; ++j) CHECK(std::abs(differences[i] - differences[j]) > 1e-6);   // float32 at .5: 6e-8
}
