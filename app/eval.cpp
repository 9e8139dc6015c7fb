#include <fmt/format.h>

#include <filesystem>

#include "app/run_recorder.h"
#include "app/verbs.h"
#include "core/error.h"
#include "envs/environments.h"
#include "kernels/threads.h"

namespace meander {

namespace {

// Where a checkpoint is damaged, the other one of its folder may do.
SafetensorsFile open_checkpoint(const std::string& path) {
  namespace fs = std::filesystem;
  try {
    SafetensorsFile file(path);
    if (!file.metadata().contains("config")) throw Error(path + ": not a checkpoint of meander");
    return file;
  } catch (const Error& error) {
    const fs::path best = fs::path(path).replace_filename(run_file::best);
    if (best == path || !fs::exists(best)) throw;
    throw Error(message(error.what(), "; the agent of the best evaluation is in ", best.string()));
  }
}

}  // namespace

int eval(const EvalOptions& options) {
  namespace fs = std::filesystem;
  if (!fs::exists(options.what)) throw Error(options.what + ": no such run folder or checkpoint");
  std::string path = options.what;
  if (fs::is_directory(path)) {
    path = options.what + "/" + run_file::last;
    if (!fs::exists(path)) path = options.what + "/" + run_file::best;
    if (!fs::exists(path)) throw Error(options.what + ": no checkpoint in this folder (last.safetensors)");
  }
  const SafetensorsFile file = open_checkpoint(path);
  const ConfigText text{file.metadata("config"), path + " (its configuration)"};
  RunConfig config = resolve("", "", &text, {});
  if (options.threads > 0) kernels::set_threads(static_cast<int>(options.threads));

  const auto environment =
      make_environment(options.environment.empty() ? config.environment : options.environment);
  const auto trained_on = make_environment(config.environment);
  const EnvironmentInfo &task = environment->info(), &known = trained_on->info();
  if (task.observations != known.observations || task.actions != known.actions)
    throw Error(message("--env ", task.name, " has ", task.observations, " observations and ", task.actions,
                        " actions, ", path, " was trained on ", known.name, " with ", known.observations, " and ",
                        known.actions));
  const auto agent = config.algorithm_settings->make_agent(task.observations, task.actions, 0);
  agent->load(file);

  catch_interrupts();
  const auto evaluation = evaluate(*agent, *environment, options.episodes, static_cast<uint64_t>(options.seed), 0,
                                   [] { return interrupted(); });
  if (!evaluation) return 130;
  fmt::print("{} after step {} on {}, seed {}, episodes: {}\n", path, file.metadata("step"), task.name, options.seed,
             options.episodes);
  fmt::print("mean {:.3f}  std {:.3f}  min {:.3f}  max {:.3f}\n", evaluation->mean(), evaluation->deviation(),
             evaluation->lowest(), evaluation->highest());
  return 0;
}

}  // namespace meander
