// Protects evaluations: several episodes at once give what one after the other gives, and end as promptly.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <meander/algos/training.h>
#include "allocations.h"
#include <meander/kernels/error.h>
#include "runs.h"

using namespace meander;
using namespace meander::fakes;

namespace {

// Acts by the state and by the numbers of the name it is given, which it remembers.
struct Noisy : Learner {
  void act(std::span<const float> state, uint64_t name, std::span<float> action) override {
    Learner::act(state, name, action);
    float noise;
    kernels::philox_uniform({3, static_cast<uint32_t>(Purpose::evaluate), name}, nullptr, 1, &noise);
    action[0] += noise - 0.5f;
    if (remembers) times.push_back(static_cast<int>(state[1])), names.push_back(name);
  }
  bool remembers = true;
  std::vector<int> times;   // in the episode
  std::vector<uint64_t> names;
};

struct NoisyThree : Noisy {
  int chunk() const override { return 3; }
  void act(std::span<const float> state, uint64_t name, std::span<float> chunk) override {
    Noisy::act(state, name, chunk.first(1));
    chunk[1] = 0.5f * chunk[0] + state[0], chunk[2] = -chunk[0];
  }
};

template <class L = Line>
struct Lines {
  explicit Lines(int count) : lines(static_cast<size_t>(count)) {
    for (L& line : lines) all.push_back(&line);
  }
  std::vector<L> lines;
  std::vector<Environment*> all;
};

template <class A>
std::vector<double> returns(int environments, int threads, int64_t episodes, int64_t at_step = 100) {
  const Threads these(threads);
  const Lines lines(environments);
  A agent;
  const auto evaluation = evaluate(agent, lines.all, episodes, 1, at_step);
  REQUIRE(evaluation);
  return evaluation->returns;
}

// An environment whose step waits (not for ever) until as many are stepping as `together` says.
struct Meeting : Line {
  static inline std::atomic<int> met = 0;
  static inline int together = 2;
  Step step(std::span<const double> action) override {
    const int round = met++ / together;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (met < (round + 1) * together && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    in_time = in_time && std::chrono::steady_clock::now() < deadline;
    if (!error.empty()) throw Failure(error);
    return Line::step(action);
  }
  bool in_time = true;
  std::string error;
};

}  // namespace

// A run's numbers must not tell how many cores it had: each episode's return, in the order of the episodes, whoever ran
// it, in chunks too, whose queues are each episode's own. Episodes are of 7 and 20 steps, so their order of ending is
// another one than that of beginning.
TEST_CASE("no return depends on the number of environments or threads") {
  const auto one = returns<Noisy>(1, 1, 11), three = returns<NoisyThree>(1, 1, 11);
  CHECK(std::set(one.begin(), one.end()).size() == 11);
  CHECK(one != three);
  for (const int environments : {1, 2, 5, 16})
    for (const int threads : {1, 2, 5}) {
      CAPTURE(environments);
      CAPTURE(threads);
      CHECK(returns<Noisy>(environments, threads, 11) == one);
      CHECK(returns<NoisyThree>(environments, threads, 11) == three);
    }
}

// Fewer episodes are the first ones of more; another step has other ones.
TEST_CASE("the first episodes do not depend on how many follow") {
  auto many = returns<Noisy>(3, 2, 9);
  many.resize(4);
  CHECK(returns<Noisy>(2, 2, 4) == many);
  CHECK(returns<Noisy>(2, 2, 4, 101) != many);
}

// Random numbers that are used twice make episodes alike.
TEST_CASE("every action has a name of its own") {
  Noisy agent;
  Lines lines(3);
  for (auto& line : lines.lines) line = Line(1000);
  for (const int64_t at_step : {0, 1, 2, 1'000'000, 1'000'001})
    REQUIRE(evaluate(agent, lines.all, 40, 1, at_step));
  CHECK(agent.names.size() > 5 * 40 * 500);
  CHECK(std::set(agent.names.begin(), agent.names.end()).size() == agent.names.size());
}

// What a chunk was decided for is its own episode, from its first step on: no decision but at times 0, 3, 6...
TEST_CASE("episodes side by side keep their chunks apart") {
  NoisyThree agent;
  const Lines lines(4);
  REQUIRE(evaluate(agent, lines.all, 10, 1, 0));
  int64_t begun = 0, at_multiples = 0;
  for (const int time : agent.times) begun += time == 0, at_multiples += time % 3 == 0;
  CHECK(begun == 10);
  CHECK(at_multiples == std::ssize(agent.times));
}

// Every step is worth 1. Chunks of 3 are said to be worth 10, the state at a time limit 4; gamma = 1/2. At the limit of
// 5 steps the returns of the decisions at 0 and 3 are 2.0625 and 2.5, with a true end after 4 they are 1.875 and 1.
TEST_CASE("by how much a chunk's value exceeds the return that follows") {
  struct Steady : Line {
    explicit Steady(int end) : Line(5, 99), end_(end) {}
    Step step(std::span<const double> action) override {
      Step step = Line::step(action);
      step.reward = 1;
      if (observation()[1] == end_) step.terminated = true, step.truncated = false;
      return step;
    }
    int end_;
  };
  struct Valued : NoisyThree {
    std::optional<double> discount() const override { return 0.5; }
    double chunk_value(std::span<const float>, std::span<const float>) override { return 10; }
    double state_value(std::span<const float> state, uint64_t) override { return state[1] == 5 ? 4 : -1e9; }
  };
  Valued agent;
  for (const auto& [end, expected] : {std::pair(99, 7.71875), std::pair(4, 8.5625)}) {
    Steady one(end), two(end);
    const auto evaluation = evaluate(agent, {&one, &two}, 5, 1, 0);
    REQUIRE(evaluation->overestimation.has_value());
    CHECK(*evaluation->overestimation == doctest::Approx(expected));
    CHECK(!evaluation->one_step_gap);
  }
  NoisyThree plain;
  Line line;
  CHECK(!evaluate(plain, {&line}, 2, 1, 0)->overestimation);
}

// The same states whatever the agent or the evaluation's step; others for another seed.
TEST_CASE("the states of the one-step gap are fixed by the seed") {
  struct Flowing : Noisy {
    bool has_flow() const override { return true; }
    double one_step_gap(std::span<const float> states) override {
      seen.assign(states.begin(), states.end());
      return 0.25;
    }
    std::vector<float> seen;
  };
  const auto states = [](uint64_t seed, int64_t at_step, float weight) {
    Flowing agent;
    agent.weight = weight;
    Line line;
    CHECK(evaluate(agent, {&line}, 2, seed, at_step)->one_step_gap == 0.25);
    return agent.seen;
  };
  const std::vector<float> first = states(1, 0, 0.1f);
  CHECK(first.size() == 16);
  CHECK(std::set<float>(first.begin(), first.end()).size() > 8);
  CHECK(states(1, 500, 0.9f) == first);
  CHECK(states(2, 0, 0.1f) != first);
}

// The point of it: with two threads two environments are inside a step at the same moment.
TEST_CASE("environments step at once") {
  const TwoThreads two;
  Meeting::met = 0;
  Lines<Meeting> lines(2);
  Noisy agent;
  for (Meeting& line : lines.lines) static_cast<Line&>(line) = Line(20, 20);   // all of the same length
  REQUIRE(evaluate(agent, lines.all, 2, 1, 0));
  CHECK(lines.lines[0].in_time);
  CHECK(lines.lines[1].in_time);
  CHECK(Meeting::met == 40);
}

// Both throw, on a thread each: one arrives at the caller, the same one every time, and the threads go on working.
TEST_CASE("what an environment throws on any thread arrives") {
  const TwoThreads two;
  Noisy agent;
  for (int i = 0; i < 5; ++i) {
    Meeting::met = 0;
    Lines<Meeting> lines(2);
    lines.lines[0].error = "the first is out of order", lines.lines[1].error = "the second is out of order";
    CHECK_THROWS_WITH_AS(evaluate(agent, lines.all, 2, 1, 0), "the first is out of order", Failure);
    Meeting::met = 0;
    lines.lines[0].error = "";
    CHECK_THROWS_WITH_AS(evaluate(agent, lines.all, 2, 1, 0), "the second is out of order", Failure);
    CHECK(lines.lines[0].in_time);
  }
  CHECK(returns<Noisy>(2, 2, 4) == returns<Noisy>(1, 1, 4));
}

// Ctrl-C waits for no episode: after it no environment steps.
TEST_CASE("an evaluation stops when it is asked to") {
  const TwoThreads two;
  Noisy agent;
  const Lines lines(3);
  int asked = 0;
  CHECK_FALSE(evaluate(agent, lines.all, 1000, 1, 0, [&] { return ++asked == 5; }));
  CHECK(asked == 5);
  CHECK(agent.acted == 4 * 3);
}

TEST_CASE("an evaluation without an environment is refused") {
  Noisy agent;
  CHECK_THROWS_AS(evaluate(agent, {}, 3, 1, 0), Error);
}

// Memory is taken once an evaluation, not at every step or episode.
TEST_CASE("an evaluation's steps allocate nothing") {
  const TwoThreads two;
  NoisyThree agent;
  agent.remembers = false;
  const Lines lines(2);
  const auto count = [&](int64_t episodes) {
    const int64_t before = allocations();
    REQUIRE(evaluate(agent, lines.all, episodes, 1, 0));
    return allocations() - before;
  };
  count(2);
  CHECK(count(50) == count(2));
}
