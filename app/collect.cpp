#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "app/data_files.h"
#include "app/progress.h"
#include "app/run_recorder.h"
#include "app/trained.h"
#include "app/verbs.h"
#include "core/error.h"
#include "envs/environments.h"
#include "kernels/philox.h"
#include "kernels/threads.h"

namespace meander {

namespace {

class Collector {
 public:
  explicit Collector(uint64_t seed) : seed_(seed) {}

  // `steps` more steps, in episodes of their own, or fewer if the user stops it; decide's calls are named by their count.
  // The last episode is cut where they are done: what it would have led to is not known, so its mask stays 1.
  void collect(Environment& environment, int chunk, int64_t steps, const Decide& decide);

  DataSet data;
  Evaluation complete;  // the episodes that came to an end of their own
  int64_t cut = 0;      // the others

 private:
  void add_row(std::span<const float> observation, std::span<const float> action, double reward, bool terminated,
               bool last);
  uint64_t seed_, decisions_ = 0, episodes_ = 0;
};

void Collector::collect(Environment& environment, int chunk, int64_t steps, const Decide& decide) {
  data.observations = environment.info().observations;
  data.actions = environment.info().actions;
  std::vector<float> observation(static_cast<size_t>(data.observations));
  const auto observe = [&] {
    std::copy(environment.observation().begin(), environment.observation().end(), observation.begin());
  };
  const std::vector<float> no_action(static_cast<size_t>(data.actions));
  ChunkQueue queue(chunk, data.actions);
  for (int64_t step = 0; step < steps && !interrupted();) {
    Stream random(seed_, Purpose::collect_reset, episodes_++);
    environment.reset(random);
    observe();
    queue.clear();
    double episode_return = 0;
    bool over = false;
    do {
      const auto action = queue.next([&](std::span<float> actions) { decide(observation, decisions_++, actions); });
      const Step result = environment.act(action);
      add_row(observation, action, result.reward, result.terminated, false);
      observe();
      episode_return += result.reward;
      over = result.terminated || result.truncated;
    } while (++step < steps && !over && !interrupted());
    add_row(observation, no_action, 0, false, true);
    if (over) complete.returns.push_back(episode_return);
    else ++cut;
  }
}

void Collector::add_row(std::span<const float> observation, std::span<const float> action, double reward,
                        bool terminated, bool last) {
  data.observation.insert(data.observation.end(), observation.begin(), observation.end());
  data.action.insert(data.action.end(), action.begin(), action.end());
  data.reward.push_back(static_cast<float>(reward));
  data.mask.push_back(terminated ? 0.0f : 1.0f);
  data.terminal.push_back(last);
}

// Before hours of work, not after: a name that nothing can be written to.
void expect_writable(const std::string& path) {
  namespace fs = std::filesystem;
  expect_data_set_name(path);
  if (fs::exists(path)) throw Error(path + ": this file exists already; choose another name with --out");
  const fs::path folder = fs::path(path).parent_path();
  if (!folder.empty() && !fs::is_directory(folder))
    throw Error(path + ": there is no folder " + folder.string());
}

}  // namespace

int collect(const CollectOptions& options) {
  if (options.agents.empty() && options.environment.empty())
    throw Error("nobody to act: give run folders or checkpoints, or --env NAME for random actions");
  if (options.agents.empty() && options.deterministic)
    throw Error("--deterministic is how an agent acts: give a run folder or a checkpoint");
  if (options.threads > 0) kernels::set_threads(static_cast<int>(options.threads));
  const auto seed = static_cast<uint64_t>(options.seed);
  std::string task = options.environment;  // the first agent's, if it is not given
  std::vector<TrainedAgent> agents;
  for (const std::string& what : options.agents) {
    agents.push_back(load_trained(what, task, seed));
    task = agents.front().environment->info().name;
  }
  const std::string path = options.out.empty() ? fmt::format("{}-s{}.npz", task, options.seed) : options.out;
  expect_writable(path);

  catch_interrupts();
  Collector collector(seed);
  if (agents.empty())
    collector.collect(*make_environment(task), 1, options.steps, [&](auto, uint64_t count, std::span<float> action) {
      kernels::philox_uniform({seed, static_cast<uint32_t>(Purpose::collect_explore), count}, std::ssize(action),
                              action.data());
      for (float& a : action) a = 2 * a - 1;
    });
  const int64_t parts = std::ssize(agents);
  for (int64_t i = 0; i < parts; ++i) {
    Agent& agent = *agents[static_cast<size_t>(i)].agent;
    const int64_t share = options.steps * (i + 1) / parts - options.steps * i / parts;
    collector.collect(*agents[static_cast<size_t>(i)].environment, agent.chunk(), share,
                      [&](std::span<const float> state, uint64_t count, std::span<float> chunk) {
                        if (options.deterministic) agent.act(state, count, chunk);
                        else agent.explore(state, count, chunk);
                      });
  }

  const DataSet& data = collector.data;
  if (data.rows() == 0) return 130;  // stopped before the first step
  write_data_set(path, data, task);
  const Evaluation& complete = collector.complete;
  fmt::print("{} transitions of {}, seed {}: {} complete episode{}, {} cut where the steps were done\n",
             count_text(data.transitions()), task, options.seed, count_text(std::ssize(complete.returns)),
             complete.returns.size() == 1 ? "" : "s", collector.cut);
  if (!complete.returns.empty())
    fmt::print("return of the complete ones: mean {:.3f}  std {:.3f}  min {:.3f}  max {:.3f}\n", complete.mean(),
               complete.deviation(), complete.lowest(), complete.highest());
  fmt::print("written to {}\n", path);
  return interrupted() ? 130 : 0;
}

}  // namespace meander
