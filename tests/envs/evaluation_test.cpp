// Protects evaluations in several simulators at once: MuJoCo on the threads of the kernels, and no trace of an episode
// in the next one; and that an episode watched by itself is that of the evaluation.
#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "algos/mfpo.h"
#include "algos/qc.h"
#include "algos/training.h"
#include "envs/environments.h"
#include "kernels/threads.h"

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
