#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include <meander/algos/agent.h>
#include <meander/core/environment.h>

namespace meander {

// Executes an agent's chunks of actions: asks for the next one when the last is used up.
class ChunkQueue {
 public:
  ChunkQueue(int chunk, int actions) : chunk_(chunk), actions_(actions), memory_(chunk * actions), left_(0) {}
  void clear() { left_ = 0; }  // a new episode begins
  // The next action [A]; decide(memory [h A]) fills the queue if it is empty.
  template <class F>
  std::span<const float> next(F&& decide) {
    if (left_ == 0) decide(std::span<float>(memory_)), left_ = chunk_;
    return std::span<const float>(memory_).subspan((chunk_ - left_--) * actions_, actions_);
  }

  int left() const { return left_; }
  std::span<const float> memory() const { return memory_; }
  void restore(std::span<const float> memory, int left) {
    std::copy(memory.begin(), memory.end(), memory_.begin());
    left_ = left;
  }

 private:
  int chunk_, actions_;
  std::vector<float> memory_;
  int left_;
};

// The undiscounted return of each episode of an evaluation, and whether it came to a true end.
struct Evaluation {
  std::vector<double> returns;
  std::vector<uint8_t> ended = {};  // where it is known
  // Of an agent with a flow (Agent::one_step_gap), over 8 states that are the same whenever the seed is.
  std::optional<double> one_step_gap = {};
  // Of an agent of chunks: the mean over the executed ones of Q less the discounted return that followed, which ends
  // with the discounted target value where the time limit does.
  std::optional<double> overestimation = {};

  double mean() const;
  double deviation() const;  // root of the mean squared distance from the mean
  double lowest() const;
  double highest() const;
  double end_rate() const;   // of true ends: the success rate where EnvironmentInfo::ends_with_success
};

// Runs `episodes` episodes of agent.act in environments of their own: as many at once as there are environments, which
// step on the threads of the kernels while the agent decides for one after the other. The random numbers depend on the
// seed, `at_step`, the episode and the time in it alone, so neither the number of environments or threads nor how often
// it is called changes anything else. Empty if `stop` asked to end it early. What an environment throws comes out here.
std::optional<Evaluation> evaluate(Agent& agent, const std::vector<Environment*>& environments, int64_t episodes,
                                   uint64_t seed, int64_t at_step, const std::function<bool()>& stop = {});

// An episode that was watched, or as much of it as was wanted.
struct WatchedEpisode {
  double episode_return = 0;
  int64_t steps = 0;
  bool over = false;  // it came to its end
};
// The next chunk [h A] for an observation; `name` names its random numbers.
using Decide = std::function<void(std::span<const float> observation, uint64_t name, std::span<float> chunk)>;

// Episode `number` of such an evaluation alone, with the same random numbers and so the same return. `watch` is called
// with the environment in every state from the first on, the last included, and may end it early by answering false.
WatchedEpisode watch_episode(Environment& environment, int chunk, const Decide& decide, int64_t number, uint64_t seed,
                             int64_t at_step, const std::function<bool(int64_t time)>& watch);

}  // namespace meander
