#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <optional>

#include <meander/app/device.h>
#include <meander/app/data_files.h>
#include <meander/app/run_group.h>
#include <meander/app/run_recorder.h>
#include <meander/app/verbs.h>
#include <meander/app/worlds.h>
#include <meander/core/text.h>
#include <meander/kernels/error.h>
#include <meander/kernels/threads.h>

namespace meander {

namespace {

namespace fs = std::filesystem;

// The configuration of a run that goes on. Only how far and how fast may differ from what it was started with.
RunConfig resume_config(const TrainOptions& options) {
  const std::string& folder = options.resume;
  if (!fs::is_directory(folder)) throw Error("--resume " + folder + ": no such run folder");
  if (!options.out.empty()) throw Error("--resume goes on in its own folder: leave out --out");
  if (!options.config.empty()) throw Error("--resume takes the configuration of the run: leave out --config");
  const ConfigText text = read_config_text(folder + "/" + run_file::config);
  RunConfig before = resolve("", "", &text, {});
  const auto refuse = [&](const std::string& what, const std::string& was, const std::string& is) {
    throw Error(what + " is " + was + " in " + folder + ", not " + is +
                ": a run that goes on can change only --steps, --threads and overlap");
  };
  if (!options.algorithm.empty() && options.algorithm != before.algorithm)
    refuse("--algo", before.algorithm, options.algorithm);
  if (!options.environment.empty() && options.environment != before.environment)
    refuse("--env", before.environment, options.environment);
  RunConfig after = resolve("", "", &text, options.assignments);
  if (before.training.seed != after.training.seed)
    refuse("seed", message(before.training.seed), message(after.training.seed));
  const DecidingSettings was = deciding_settings(before), is = deciding_settings(after);
  for (size_t i = 0; i < was.size(); ++i)
    if (was[i] != is[i]) refuse(was[i].first, was[i].second, is[i].second);
  return after;
}

}  // namespace

int train(const TrainOptions& options) {
  const bool resumed = !options.resume.empty();
  std::optional<ConfigText> file;
  if (!options.config.empty() && !resumed) file = read_config_text(options.config);
  RunConfig config = resumed ? resume_config(options)
                             : resolve(options.algorithm, options.environment, file ? &*file : nullptr,
                                       options.assignments);
  if (config.environment.empty())
    throw Error("no environment given: add --env NAME (meander list prints them all)");
  if (config.threads > 0) kernels::set_threads(static_cast<int>(config.threads));

  // The learner and its worlds, some of them for evaluations alone.
  const Worlds worlds(config.environment, config.training.environments, config.task, config.training.seed);
  const Worlds evaluation =
      worlds_for(config.training.evaluation_episodes, config.environment, config.task, config.training.seed);
  const EnvironmentInfo& task = worlds.info();
  const auto agent = make_agent(*config.algorithm_settings, config.device, task.observations, task.actions,
                                static_cast<uint64_t>(config.training.seed));
  // The replay of a checkpoint holds the data set: then an empty one stands for it, and its file may be gone.
  const bool goes_on = resumed && fs::exists(options.resume + "/" + run_file::last);
  std::optional<DataSet> data;
  if (!config.training.data.empty() && config.task.observation_scaling != "none")
    throw Error("--data " + config.training.data +
                " holds observations as the task has them: leave out observation_scaling");
  std::vector<std::string> remarks;
  if (!config.training.data.empty() && goes_on) {
    data = DataSet{task.observations, task.actions, {}, {}, {}, {}, {}};
  } else if (!config.training.data.empty()) {
    DataFile file = read_data_of_task(config.training.data, config.environment);
    data = std::move(file.data);
    remarks = std::move(file.remarks);
  }
  Training training(config.training, *agent, worlds.all(), evaluation.all(), data ? &*data : nullptr);
  data.reset();

  const std::string folder = resumed ? options.resume : create_run_folder(options.out, config);
  const std::string last = folder + "/" + run_file::last;
  std::optional<SafetensorsFile> checkpoint;
  if (goes_on) {
    try {
      checkpoint.emplace(last);
      training.load(*checkpoint);
    } catch (const Error& error) {
      throw Error(error.what() + message("; the run cannot go on from it: start a new one with --config ",
                                         shell_quoted(folder + "/" + run_file::config)));
    }
    if (training.step() >= config.training.steps)
      throw Error(message(folder, " is at step ", training.step(), " already: to go on give more, e.g. --steps ",
                          2 * training.step()));
  }

  RunRecorder recorder(folder, config, training, *agent, checkpoint ? &*checkpoint : nullptr, options.quiet);
  checkpoint.reset();
  if (resumed)
    recorder.say(training.step() > 0 ? message("going on in ", folder, " after step ", count_text(training.step()))
                                     : message("no checkpoint in ", folder, " yet: starting again"));
  else
    recorder.say(message("training ", config.algorithm, " on ", config.environment, " in ", folder));

  for (const std::string& remark : remarks) recorder.say(config.training.data + ": " + remark);

  const std::string go_on = shell_quoted(options.program) + " train --resume " + shell_quoted(folder);
  catch_interrupts();
  try {
    training.run(recorder);
  } catch (const Failure& failure) {
    if (!fs::exists(last)) throw;
    throw Failure(message(failure.what(), "; the last checkpoint is intact, go on with ", go_on));
  }
  if (training.step() < config.training.steps) {
    recorder.say(message("stopped and saved after step ", count_text(training.step()), "; to go on: ", go_on));
    return 130;
  }
  recorder.say(message("done: ", folder));
  return 0;
}

}  // namespace meander
