// Protects evaluations in several simulators at once: MuJoCo on the threads of the kernels, and no trace of an episode
// in the next one; and that an episode watched by itself is that of the evaluation.
#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include <meander/algos/mfpo.h>
#include <meander/algos/qc.h>
#include <meander/algos/training.h>
#include <meander/envs/environments.h>
#include <meander/kernels/threads.h>

using namespace meander;

namespace {

std::vector<double> returns(Agent& agent, const std::string& task, int environments, int threads) {
  std::vector<std::unique_ptr<Environment>> owned;
  std::vector<Environment*> all;
  for (int i = 0; i < environments; ++i) all.push_back(owned.emplace_back(make_environment(task)).get());
  const int before = kernels::threads();
  kernels::set_threads(threads);
  const auto evaluation = evaluate(agent, all, 7, 1, 100);
  kernels::set_threads(before);
  REQUIRE(evaluation);
  return evaluation->returns;
}

void check(Agent& agent, const std::string& task) {
  const auto one = returns(agent, task, 1, 1);
  CHECK(one[0] != one[1]);
  const auto environment = make_environment(task);
  const auto decide = [&](auto state, uint64_t name, auto chunk) { agent.act(state, name, chunk); };
  int64_t seen = 0;
  const WatchedEpisode watched = watch_episode(*environment, agent.chunk(), decide, 4, 1, 100,
                                               [&](int64_t time) { return time == seen++; });
  CHECK(watched.episode_return == one[4]);
  CHECK(watched.over);
  CHECK(watched.steps == seen - 1);
  for (const int environments : {2, 5})
    for (const int threads : {1, 2}) {
      CAPTURE(environments);
      CAPTURE(threads);
      CHECK(returns(agent, task, environments, threads) == one);
    }
}

}  // namespace

namespace {

// Ends truly after three steps in half of the episodes, and by its time limit in the others.
class Coin final : public Environment {
 public:
  Coin() {
    info_.observations = info_.actions = 1;
    info_.action_low = {-1}, info_.action_high = {1};
    info_.time_limit = 3;
  }
  const EnvironmentInfo& info() const override { return info_; }
  void reset(Stream& random) override { heads_ = random.uniform() < 0.5, steps_ = 0; }
  Step step(std::span<const double>) override {
    const bool last = ++steps_ == 3;
    return {heads_ ? 1.0 : 0.0, last && heads_, last && !heads_};
  }
  std::span<const double> observation() const override { return observation_; }
  std::vector<double> save() const override { return {}; }
  void load(std::span<const double>) override {}

 private:
  EnvironmentInfo info_;
  std::vector<double> observation_{0};
  bool heads_ = false;
  int steps_ = 0;
};

}  // namespace

// Protects the success rate: true ends are counted, each for its own episode, and time limits are not.
TEST_CASE("an evaluation knows which episodes came to a true end") {
  MfpoSettings settings;
  settings.actor_width = settings.critic_width = 8, settings.batch_size = 4;
  const auto agent = settings.make_agent(1, 1, 3);
  Coin coins[3];
  const auto evaluation = evaluate(*agent, {&coins[0], &coins[1], &coins[2]}, 40, 1, 0);
  REQUIRE(evaluation);
  int heads = 0;
  for (int i = 0; i < 40; ++i) {
    CHECK(evaluation->returns[i] == 3 * evaluation->ended[i]);
    heads += evaluation->ended[i];
  }
  CHECK(heads > 8);
  CHECK(heads < 32);
  CHECK(evaluation->end_rate() == heads / 40.0);
}

// A solver's warm start that survived a reset would show: one environment runs seven episodes, one of five runs two.
TEST_CASE("returns do not depend on the number of simulators or threads") {
  for (const char* task : {"Pendulum-v1", "Hopper-v4", "Humanoid-v4"}) {
    CAPTURE(task);
    const EnvironmentInfo info = make_environment(task)->info();
    MfpoSettings mfpo;
    mfpo.actor_width = mfpo.critic_width = 8, mfpo.batch_size = 4;
    check(*mfpo.make_agent(info.observations, info.actions, 3), task);
    QcSettings chunks;
    ChunkOptions& small = chunks.chunk;
    small.actor_width = small.critic_width = 8, small.batch_size = 4;
    check(*chunks.make_agent(info.observations, info.actions, 3), task);
  }
}
