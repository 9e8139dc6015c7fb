#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "algos/agent.h"
#include "algos/replay.h"
#include "algos/settings.h"
#include "envs/environment.h"

namespace meander {

struct TrainingSettings {
  int64_t seed = 0;
  int64_t steps = 1'000'000;
  int64_t environments = 1;
  std::string data;
  int64_t offline_steps = 0;
  int64_t start_steps = 10'000;
  int64_t replay_capacity = 1'000'000;
  int64_t evaluation_interval = 10'000;
  int64_t evaluation_episodes = 10;
  int64_t log_interval = 1'000;
  int64_t checkpoint_interval = 20'000;
  bool overlap = true;

  std::vector<Setting> settings();  // pointers into this object
};

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

// What the training loop reports. Each is called at the end of step `step`, the step itself last.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void episode_ended(int64_t /*step*/, double /*episode_return*/) {}
  // Means of the agent's metrics over the updates since the last call.
  virtual void metrics(int64_t /*step*/, std::span<const double> /*means*/) {}
  virtual void evaluated(int64_t /*step*/, const Evaluation&, bool /*best_so_far*/) {}
  virtual void warning(int64_t /*step*/, const std::string& /*text*/) {}
  virtual void step_done(int64_t /*step*/) {}
  virtual void checkpoint(int64_t /*step*/) {}  // the time to call Training::save
  // An update failed; the agent's parameters are finite (Agent::update). The failure is thrown on when this returns.
  virtual void update_failed(int64_t /*step*/) {}
  virtual bool stop() { return false; }  // asked after every step and during evaluations
};

// The loop of off-policy learning: act, store, update once a step, evaluate now and then.
//
// Steps are counted from 1. The first `offline_steps` are updates from a data set, with which the replay begins. Then
// come steps of the environments, which take theirs together: E environments make E steps, and at most one update.
// Before step `start_steps` of these, actions are uniform in [-1, 1] (the agent's own if it has learnt offline); from
// then on they are the agent's, and an update follows. Everything random is named by (seed, purpose, count), so the
// counters are all that a resumed run needs to go on with the same bits.
//
// With `overlap`, if the kernels may use two threads or more, the environments step on a thread of their own while the
// update runs, whenever the update's batch, known in advance, lacks the transitions of that step. The same bits either
// way.
class Training {
 public:
  // Starts the first episodes. The agent and the environments must live as long as this; the data set, if any, is
  // copied. Throws Error if the agent's dimensions are not the environments', or the data set does not fit.
  Training(const TrainingSettings& settings, Agent& agent, const std::vector<Environment*>& environments,
           const std::vector<Environment*>& evaluation_environments, const DataSet* data = nullptr);
  ~Training();

  // Until `steps` steps are done or the observer asks to stop; a checkpoint is due at the end of both. Throws Failure
  // with the step if an update fails or the simulator returns a number that is not finite. After a failure of the
  // simulator the agent may have had the update of that step already; checkpoints lie before it.
  void run(Observer& observer);

  int64_t step() const { return step_; }                // steps done
  int64_t updates() const { return updates_; }          // updates done
  double best_return() const { return best_return_; }   // of the evaluations so far, -infinity before the first

  // Agent, counters, environment state and replay. The file refers to memory of this object: write it before the next
  // step. load goes on where save was called; throws Error if the file is of another task or agent.
  void save(SafetensorsWriter& file);
  void load(const SafetensorsFile& file);

 private:
  // The share of the target distribution cut off at one end of the critic's support, watched over 1,000 updates.
  struct ClippedMass {
    const char* metric;   // the agent's name for it
    const char* setting;  // what to change
    double sum = 0;
    bool warned = false;
  };

  // One environment and where it stands.
  struct World {
    Environment* environment;
    ChunkQueue queue;
    std::vector<float> observation, next_observation, action;
    double episode_return = 0;
    Step result{};
  };

  class Simulation;  // a thread for the environments

  void begin_episode(int world);
  void observe(World& world);
  void advance(Observer& observer);
  void advance_offline(Observer& observer);
  void update();
  void report(Observer& observer);
  bool due(int64_t interval) const { return step_ / interval != step_before_ / interval; }
  void finish_update(Observer& observer);
  void watch_support(Observer& observer);
  bool evaluate_now(Observer& observer);  // false: asked to stop meanwhile
  template <class F>
  void for_each_counter(F&& f);

  TrainingSettings settings_;
  Agent& agent_;
  std::vector<World> worlds_;
  std::vector<Environment*> evaluation_environments_;
  Replay replay_;

  int64_t step_ = 0;             // steps, updates and episodes so far
  int64_t step_before_ = 0;      // the last round
  int64_t updates_ = 0;
  int64_t episodes_ = 0;
  int64_t last_evaluation_ = 0;  // the step it was done at
  bool evaluation_pending_ = false;  // one was interrupted
  double best_return_;
  int64_t summed_updates_ = 0;   // since the last report
  std::vector<double> metric_sums_;
  ClippedMass clipped_[2] = {{"clipped_low", "v_min"}, {"clipped_high", "v_max"}};

  std::vector<float> metrics_;
  std::vector<double> means_, saved_counters_, saved_worlds_;
  std::vector<std::vector<double>> saved_environments_;
  std::vector<float> saved_queues_, batch_memory_;
  std::vector<uint32_t> batch_rows_;
  std::string warning_;  // of the start, for the first observer
  Batch batch_;
  std::exception_ptr update_error_;
  std::unique_ptr<Simulation> simulation_;  // null: without overlap
};

}  // namespace meander
