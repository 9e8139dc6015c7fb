#include <meander/app/trained.h>

#include <filesystem>

#include <meander/app/run_recorder.h>
#include <meander/core/file_numbers.h>
#include <meander/kernels/error.h>
#include <meander/envs/environments.h>

namespace meander {

namespace {

namespace fs = std::filesystem;

// Where a checkpoint is damaged, the other one of its folder may do.
SafetensorsFile open_checkpoint(const std::string& path) {
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

TrainedAgent load_trained(const std::string& what, const std::string& environment, uint64_t seed) {
  if (!fs::exists(what)) throw Error(what + ": no such run folder or checkpoint");
  TrainedAgent trained;
  trained.path = what;
  if (fs::is_directory(what)) {
    trained.path = what + "/" + run_file::last;
    if (!fs::exists(trained.path)) trained.path = what + "/" + run_file::best;
    if (!fs::exists(trained.path)) throw Error(what + ": no checkpoint in this folder (last.safetensors)");
  }
  const SafetensorsFile file = open_checkpoint(trained.path);
  trained.step = message(whole_metadata(file, "step", 0, int64_t{1} << 53));
  const ConfigText text{file.metadata("config"), trained.path + " (its configuration)"};
  trained.config = resolve("", "", &text, {});

  const EnvironmentInfo known = environment_info(trained.config.environment);
  trained.task = environment.empty() ? trained.config.environment : environment;
  const EnvironmentInfo task = environment_info(trained.task);
  if (task.observations != known.observations || task.actions != known.actions)
    throw Error(message(task.name, " has ", task.observations, " observations and ", task.actions, " actions, ",
                        trained.path, " was trained on ", known.name, " with ", known.observations, " and ",
                        known.actions));
  trained.agent = trained.config.algorithm_settings->make_agent(task.observations, task.actions, seed);
  trained.agent->load(file);
  return trained;
}

}  // namespace meander
