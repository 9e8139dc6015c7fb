#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <meander/algos/evaluation.h>
#include <meander/algos/loop_state.h>
#include <meander/algos/replay.h>
#include <meander/algos/settings.h>
#include <meander/core/environment.h>

namespace meander {

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

  // Goes on until `steps` steps are done or the observer asks to stop; a checkpoint is due at the end of both. Throws
  // Failure with the step if an update fails, as Diverged if that or the simulator gives a number that is not finite.
  // After a failure of the simulator the agent may have had the update of that step already; checkpoints lie before it.
  // The agent's begin_online is called between the last offline step, with its evaluation and checkpoint, and the first
  // step of the environments; whether it was called is the step's to say, also in a checkpoint.
  void run(Observer& observer);

  const EnvironmentInfo& task() const { return worlds_.front().environment->info(); }
  int64_t step() const { return counters_.step; }         // steps done
  int64_t updates() const { return counters_.updates; }   // updates done

  // Agent, counters, environment state and replay. The file refers to memory of this object: write it before the next
  // step. load goes on where save was called; throws Error if the file is of another task or agent, or a number in it
  // is none that a run with these settings writes.
  void save(SafetensorsWriter& file);
  void load(const SafetensorsFile& file);

 private:
  // One end of the critic's support, at which the target distribution is cut off.
  struct SupportEnd {
    const char* metric;   // the agent's name for it
    const char* setting;  // what to change
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
  bool due(int64_t interval) const { return counters_.step / interval != step_before_ / interval; }
  void finish_update(Observer& observer);
  void watch_support(Observer& observer);
  void expect_replay_of(const SafetensorsFile& file, const LoopCounters& counters) const;
  bool evaluate_now(Observer& observer);  // false: asked to stop meanwhile

  TrainingSettings settings_;
  Agent& agent_;
  std::vector<World> worlds_;
  std::vector<Environment*> evaluation_environments_;
  Replay replay_;
  bool with_data_;               // the replay began with a data set

  LoopCounters counters_;
  int64_t step_before_ = 0;      // the last round
  std::vector<double> metric_sums_;
  static constexpr SupportEnd support_ends_[2] = {{"clipped_low", "v_min"}, {"clipped_high", "v_max"}};

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
