#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <exception>
#include <map>

#include <meander/algos/random_action.h>
#include <meander/app/claim.h>
#include <meander/app/collect_play.h>
#include <meander/app/data_files.h>
#include <meander/app/output.h>
#include <meander/app/output_place.h>
#include <meander/app/progress.h>
#include <meander/app/run_recorder.h>
#include <meander/app/trained.h>
#include <meander/app/verbs.h>
#include <meander/app/worlds.h>
#include <meander/kernels/error.h>
#include <meander/envs/cube_play.h>
#include <meander/envs/robomimic_script.h>
#include <meander/kernels/threads.h>

namespace meander {

namespace {

// How much is wanted: so many complete episodes, or steps.
struct Amount {
  bool whole_episodes;
  int64_t count;
  // The part of it that falls to number `i` of `parts`.
  Amount share(int64_t i, int64_t parts) const {
    return {whole_episodes, count * (i + 1) / parts - count * i / parts};
  }
};

// Records episodes in several environments at once. Each has its own random numbers and is put where its number says, so
// the data do not depend on how many environments and threads there are.
class Collector {
 public:
  explicit Collector(uint64_t seed) : seed_(seed) {}

  // So much more, or less if the user stops it. Where steps are wanted the last episode is cut: what it would have led to
  // is not known, so its mask stays 1.
  void collect(const Worlds& worlds, int chunk, Amount wanted, const Decide& decide);

  DataSet data;
  Evaluation complete;  // the episodes that came to an end of their own
  int64_t cut = 0;      // the others

 private:
  struct Episode {
    int64_t number;
    Environment* environment;
    ChunkQueue queue;
    std::vector<float> observation, action, reward, mask;  // of its steps so far, and the observation after the last
    std::span<const float> next_action = {};
    double episode_return = 0;
    Step result = {};
    std::exception_ptr error = nullptr;

    int64_t steps() const { return std::ssize(reward); }
    bool over() const { return result.terminated || result.truncated; }
    void observe() {  // as the task has it, whatever the agent's scaling
      const std::span<const double> seen = environment->unwrapped().observation();
      observation.insert(observation.end(), seen.begin(), seen.end());
    }
    void act();
  };
  Episode begin(Environment* environment, int chunk, int64_t number);
  void keep(const Episode& episode, int64_t steps);

  uint64_t seed_;
  int64_t kept_ = 0;  // episodes in the data, which are numbered from 0
};

void Collector::collect(const Worlds& worlds, int chunk, Amount wanted, const Decide& decide) {
  data.observations = worlds.info().observations;
  data.actions = worlds.info().actions;
  std::deque<Episode> line;  // under way or waiting for an earlier one, by number
  int64_t next = kept_;
  const int64_t end = wanted.whole_episodes ? kept_ + wanted.count : INT64_MAX;
  int64_t left = wanted.whole_episodes ? INT64_MAX : wanted.count;  // steps
  const auto begin_another = [&](Environment* environment) {
    if (next < end && left > 0) line.push_back(begin(environment, chunk, next++));
  };
  const auto keep_first = [&] {
    const int64_t steps = std::min(line.front().steps(), left);
    if (steps > 0) keep(line.front(), steps);
    left -= steps;
    line.pop_front();
  };
  for (Environment* environment : worlds.all()) begin_another(environment);
  std::vector<Episode*> running;
  std::vector<float> state(static_cast<size_t>(data.observations));
  while (!line.empty() && !interrupted()) {
    running.clear();
    for (Episode& episode : line)
      if (!episode.over()) running.push_back(&episode);

    // The agent, which only one thread may ask, decides for one episode after the other; their environments step at once.
    for (Episode* episode : running) {
      const std::span<const double> seen = episode->environment->observation();
      std::copy(seen.begin(), seen.end(), state.begin());
      episode->next_action = episode->queue.next([&](std::span<float> actions) {
        decide(state, (static_cast<uint64_t>(episode->number) << 32) + static_cast<uint64_t>(episode->steps()), actions);
      });
    }
    kernels::parallel_for(std::ssize(running), 1, [&](int64_t first, int64_t last) {
      for (Episode* episode : std::span(running).subspan(first, last - first)) episode->act();
    });
    for (Episode* episode : running) {
      if (episode->error) std::rethrow_exception(episode->error);
      if (episode->over()) begin_another(episode->environment);
    }

    while (!line.empty() && (line.front().over() || line.front().steps() >= left)) {
      keep_first();
      if (left == 0) return;
    }
  }
  while (!line.empty()) keep_first();  // interrupted
}

Collector::Episode Collector::begin(Environment* environment, int chunk, int64_t number) {
  Stream random(seed_, Purpose::collect_reset, static_cast<uint64_t>(number));
  environment->reset(random);
  Episode episode{number, environment, ChunkQueue(chunk, data.actions), {}, {}, {}, {}};
  episode.observe();
  return episode;
}

// A task of the pool must not throw, so an error waits.
void Collector::Episode::act() {
  try {
    result = environment->act(next_action);
  } catch (...) {
    error = std::current_exception();
    return;
  }
  action.insert(action.end(), next_action.begin(), next_action.end());
  reward.push_back(static_cast<float>(result.reward));
  mask.push_back(result.terminated ? 0.0f : 1.0f);
  episode_return += result.reward;
  observe();
}

// Its first `steps` steps, and the observation after them as the last row.
void Collector::keep(const Episode& episode, int64_t steps) {
  const auto append = [](std::vector<float>& to, const std::vector<float>& from, int64_t count) {
    to.insert(to.end(), from.begin(), from.begin() + count);
  };
  append(data.observation, episode.observation, (steps + 1) * data.observations);
  append(data.action, episode.action, steps * data.actions);
  data.action.insert(data.action.end(), static_cast<size_t>(data.actions), 0.0f);
  append(data.reward, episode.reward, steps);
  data.reward.push_back(0);
  append(data.mask, episode.mask, steps);
  data.mask.push_back(1);
  data.terminal.insert(data.terminal.end(), static_cast<size_t>(steps), 0);
  data.terminal.push_back(1);
  ++kept_;
  if (episode.over() && steps == episode.steps()) {
    complete.returns.push_back(episode.episode_return);
    complete.ended.push_back(episode.result.terminated);
  } else {
    ++cut;
  }
}

// Scripted demonstrations instead of an agent: each episode has a script of its own, which looks at the observation.
class Demonstrator {
 public:
  Demonstrator(RobomimicTask task, uint64_t seed, const CollectOptions& options)
      : task_(task), seed_(seed), noise_(options.noise < 0 ? RobomimicScript::usual_noise : options.noise),
        spread_(options.spread < 0 ? RobomimicScript::usual_spread : options.spread) {}

  // `name`: of the episode in its upper half.
  void operator()(std::span<const float> state, uint64_t name, std::span<float> action) {
    const uint64_t episode = name >> 32;
    auto& script = scripts_.try_emplace(episode, task_, Stream(seed_, Purpose::collect_explore, episode), noise_, spread_)
                       .first->second;
    std::ranges::copy(script.act(state), action.begin());
    while (scripts_.size() > most_under_way) scripts_.erase(scripts_.begin());  // the oldest, long ended
  }

 private:
  static constexpr size_t most_under_way = 1024;
  RobomimicTask task_;
  uint64_t seed_;
  double noise_, spread_;
  std::map<uint64_t, RobomimicScript> scripts_;
};

}  // namespace

int collect(const CollectOptions& options) {
  if (options.agents.empty() && options.environment.empty())
    throw Error("nobody to act: give run folders or checkpoints, or --env NAME for random actions");
  if (options.agents.empty() && options.deterministic)
    throw Error("--deterministic is how an agent acts: give a run folder or a checkpoint");
  if (options.threads > 0) kernels::set_threads(static_cast<int>(options.threads));
  if (play_data_cubes(options.environment)) return collect_play(options);
  const auto seed = static_cast<uint64_t>(options.seed);
  std::string task = options.environment;  // the first agent's, if it is not given
  std::vector<TrainedAgent> agents;
  for (const std::string& what : options.agents) {
    agents.push_back(load_trained(what, task, seed));
    task = agents.front().task;
  }
  const auto scripted = agents.empty() ? robomimic_task(task) : std::nullopt;
  if (!scripted && (options.noise >= 0 || options.spread >= 0))
    throw Error("--noise and --spread are of scripted demonstrations: of a robomimic task, without run folders");
  const std::string path =
      options.out.empty() ? fmt::format("{}-s{}.npz", safe_file_name(task), options.seed) : options.out;
  const OutputPlace place(path, OutputPlace::kept);
  expect_writable(path);
  const Claim claim(path, Claim::beside(path));

  const Amount wanted{options.episodes > 0, options.episodes > 0 ? options.episodes : options.steps};
  // The first agent's settings are those of its task.
  const RunConfig* const run = agents.empty() ? nullptr : &agents.front().config;
  const Worlds worlds =
      worlds_for(wanted.count, task, run ? run->task : TaskSettings{}, run ? run->training.seed : 0);
  catch_interrupts();
  Collector collector(seed);
  if (scripted)
    collector.collect(worlds, 1, wanted, Demonstrator(*scripted, seed, options));
  else if (agents.empty())
    collector.collect(worlds, 1, wanted, [&](auto, uint64_t name, std::span<float> action) {
      act_at_random(seed, Purpose::collect_explore, name, action);
    });
  for (int64_t i = 0; i < std::ssize(agents); ++i) {
    Agent& agent = *agents[static_cast<size_t>(i)].agent;
    collector.collect(worlds, agent.chunk(), wanted.share(i, std::ssize(agents)),
                      [&](std::span<const float> state, uint64_t name, std::span<float> chunk) {
                        if (options.deterministic) agent.act(state, name, chunk);
                        else agent.explore(state, name, chunk);
                      });
  }

  const DataSet& data = collector.data;
  if (data.rows() == 0) return 130;  // stopped before the first step
  place.put([&](const std::string& name) { write_data_set(name, data, task); });
  const Evaluation& complete = collector.complete;
  print("{} transitions of {}, seed {}: {} complete episode{}{}, {} cut where the steps were done\n",
        count_text(data.transitions()), task, options.seed, count_text(std::ssize(complete.returns)),
        complete.returns.size() == 1 ? "" : "s",
        worlds.info().ends_with_success
            ? fmt::format(" ({} a success)", std::count(complete.ended.begin(), complete.ended.end(), 1))
            : "",
        collector.cut);
  if (!complete.returns.empty())
    print("return of the complete ones: mean {:.3f}  std {:.3f}  min {:.3f}  max {:.3f}\n", complete.mean(),
               complete.deviation(), complete.lowest(), complete.highest());
  print("written to {}\n", path);
  return interrupted() ? 130 : 0;
}

}  // namespace meander
