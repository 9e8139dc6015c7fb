#include <meander/algos/loop_state.h>

#include <algorithm>

#include <meander/algos/data_set.h>
#include <meander/core/file_numbers.h>
#include <meander/core/text.h>
#include <meander/kernels/error.h>

namespace meander {

std::vector<Setting> TrainingSettings::settings() {
  return {
      {"seed", &seed, "", "names every random number of the run", 0, static_cast<double>(largest_whole), {}},
      {"steps", &steps, "steps", "in all: of the environments, and offline ones before", 1, 1e12, {}},
      {"environments", &environments, "", "that take their steps together; one update follows for all", 1, 1024, {}},
      {"data", &data, "", "a data set the replay begins with (.npz, .safetensors or .hdf5); empty: none", 0, 0, {}},
      {"offline_steps", &offline_steps, "steps", "updates from the data set before the first environment step", 0, 1e12,
       {}},
      {"start_steps", &start_steps, "steps",
       "the first environment step that takes the agent's action and is followed by an update", 1, 1e12, {}},
      {"replay_capacity", &replay_capacity, "transitions", "what the replay holds before old ones go", 1, 1e9, {}},
      {"evaluation_interval", &evaluation_interval, "steps",
       "between evaluations; there is one at the last step too", 1, 1e12, {}},
      {"evaluation_episodes", &evaluation_episodes, "episodes", "in each evaluation", 1, 1e6, {}},
      {"log_interval", &log_interval, "steps", "between lines of averaged update metrics", 1, 1e12, {}},
      {"checkpoint_interval", &checkpoint_interval, "steps",
       "between checkpoints, which hold the replay; there is one at the end and at Ctrl-C too", 1, 1e12, {}},
      {"overlap", &overlap, "",
       "step the environment while the update runs, given two threads or more; no result depends on it", 0, 0, {}},
  };
}

namespace {

constexpr int64_t most_steps = 2'000'000'000'000;  // twice as many as can be asked for

// Updates after so many steps: one after each offline step, then one a round of the environments.
int64_t updates_after(int64_t step, const TrainingSettings& settings, int64_t worlds) {
  const int64_t offline = std::min(step, settings.offline_steps);
  const int64_t rounds = (step - offline) / worlds, waiting = (settings.start_steps + worlds - 1) / worlds - 1;
  return offline + std::max<int64_t>(0, rounds - waiting);
}

LoopCounters read_counters(const SafetensorsFile& file, const TrainingSettings& settings, int64_t worlds) {
  LoopCounters read;
  int64_t count = 0;
  read.for_each([&](auto&) { ++count; });
  const auto numbers = file.values<double>("training.counters", count);
  size_t next = 0;
  const std::string where = file.path() + ": the number of ";
  const auto whole = [&](const char* what, int64_t low, int64_t high) {
    return whole_number(where + what, numbers[next++], low, high);
  };
  const auto flag = [&](const char* what) { return whole(what, 0, 1) == 1; };

  read.step = whole("steps", 0, most_steps);
  const int64_t online = std::max<int64_t>(0, read.step - settings.offline_steps);
  if (online % worlds != 0)
    throw Error(message(where, "steps: ", online, " of the environments are no multiple of ", worlds));
  const int64_t updates = updates_after(read.step, settings, worlds);
  read.updates = whole("updates", updates, updates);
  read.episodes = whole("episodes", worlds, worlds + online);
  read.last_evaluation = whole("steps at the last evaluation", 0, read.step);
  read.best_return = numbers[next++];
  if (read.best_return != -std::numeric_limits<double>::infinity())
    real_number(file.path() + ": the best return", read.best_return, -1e300, 1e300);
  read.summed_updates = whole("updates since the last report", 0, read.updates);
  read.evaluation_pending = flag("evaluations to do");
  for (LoopCounters::Clipped& end : read.clipped) {
    // Of each update at most 1, and what rounding adds; of a sum of 0 it may take something.
    const double most = 1.001 * static_cast<double>(read.updates);
    end.sum = real_number(file.path() + ": the clipped mass", numbers[next++], -0.001 * most, most);
    end.warned = flag("warnings");
  }
  return read;
}

}  // namespace

LoopState read_loop_state(const SafetensorsFile& file, const TrainingSettings& settings, int64_t worlds, int64_t chunk,
                          int64_t actions) {
  LoopState state;
  state.counters = read_counters(file, settings, worlds);
  whole_metadata(file, "step", state.counters.step, state.counters.step);
  state.metric_sums = file.values<double>("training.metric_sums");
  const auto numbers = file.values<double>("training.worlds", 2 * worlds);
  const auto queues = file.values<float>("training.queues", worlds * chunk * actions);
  expect_within(file.path() + ": tensor training.queues", queues, largest_action);
  for (int64_t i = 0; i < worlds; ++i) {
    const std::string where = message(file.path(), ": environment ", i);
    state.worlds.push_back(
        {real_number(where + ": the return", numbers[2 * i], -1e300, 1e300),
         static_cast<int>(whole_number(where + ": the number of actions left", numbers[2 * i + 1], 0, chunk)),
         queues.subspan(i * chunk * actions, chunk * actions),
         file.values<double>(message("training.environment.", i))});
  }
  return state;
}

}  // namespace meander
