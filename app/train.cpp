#include <fmt/format.h>

#include <filesystem>
#include <optional>

#include <meander/app/device.h>
#include <meander/app/data_files.h>
#include <meander/app/run_group.h>
#include <meander/app/run_recorder.h>
#include <meander/app/verbs.h>
#include <meander/app/worlds.h>
#include <meander/core/file_bytes.h>
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
  for (const Assignment& assignment : options.assignments)
    if (assignment.origin == "--preset") throw Error("--resume takes the settings of the run: leave out --preset");
  const ConfigText text = read_config_text(folder + "/" + run_file::config);
  RunConfig before = resolve("", "", &text, {});
  const auto refuse = [&](const std::string& what, const std::string& was, const std::string& is) {
    throw Error(what + " is " + was + " in " + folder + ", not " + is +
                ": a run that goes on can change only --steps, --threads, --device and overlap");
  };
  if (!options.algorithm.empty() && options.algorithm != before.algorithm)
    refuse("--algo", before.algorithm, options.algorithm);
  if (!options.environment.empty() && options.environment != before.environment)
    refuse("--env", before.environment, options.environment);
  RunConfig after = resolve("", "", &text, options.assignments);
  if (const auto other = difference(before, after)) refuse(other->what, other->first, other->second);
  return after;
}

// Refusals of a checkpoint, with what can be done.
template <class F>
auto reading_checkpoint(const std::string& folder, F&& read) {
  try {
    return read();
  } catch (const Error& error) {
    throw Error(error.what() + message("; the run cannot go on from it: start a new one with --config ",
                                       shell_quoted(folder + "/" + run_file::config)));
  }
}

// The checkpoint that a run goes on from, if it has one; its own configuration must be that of the run.
std::optional<SafetensorsFile> open_last(const std::string& folder, RunConfig& config) {
  const std::string path = folder + "/" + run_file::last;
  if (!fs::exists(path)) return {};
  FileBytes{path};  // what cannot even be opened may be whole: no reason to start a new run
  std::optional<SafetensorsFile> file;
  std::optional<Difference> other;
  reading_checkpoint(folder, [&] {
    file.emplace(path);
    const ConfigText text{file->metadata("config"), path + " (its configuration)"};
    RunConfig saved = resolve("", "", &text, {});
    other = difference(config, saved);
  });
  if (other)
    throw Error(message(folder, "/", run_file::config, ": ", other->what, " is ", other->first, ", but ", other->second,
                        " in the checkpoint of this run: set it back, or start a new run with --config"));
  return file;
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

  // Of a run that goes on; a new one gets its folder when nothing but writing there can fail any more.
  std::optional<Claim> claim;
  if (resumed) claim.emplace(options.resume, Claim::in(options.resume));
  std::optional<SafetensorsFile> checkpoint = resumed ? open_last(options.resume, config) : std::nullopt;

  // The learner and its worlds, some of them for evaluations alone.
  const Worlds worlds(config.environment, config.training.environments, config.task, config.training.seed);
  const Worlds evaluation =
      worlds_for(config.training.evaluation_episodes, config.environment, config.task, config.training.seed);
  const EnvironmentInfo& task = worlds.info();
  const auto agent = make_agent(*config.algorithm_settings, config.device, task.observations, task.actions,
                                static_cast<uint64_t>(config.training.seed));
  const std::string before = std::exchange(config.machine, message(config.device, ": ", find_device(config.device).about()));
  // The replay of a checkpoint holds the data set: then an empty one stands for it, and its file may be gone.
  std::optional<DataSet> data;
  if (!config.training.data.empty() && config.task.observation_scaling != "none")
    throw Error("--data " + config.training.data +
                " holds observations as the task has them: leave out observation_scaling");
  std::vector<std::string> remarks;
  if (!config.training.data.empty() && checkpoint) {
    data = DataSet{task.observations, task.actions, {}, {}, {}, {}, {}};
  } else if (!config.training.data.empty()) {
    DataFile file = read_data_of_task(config.training.data, config.environment, config.data_options);
    data = std::move(file.data);
    remarks = std::move(file.remarks);
    const int64_t offline = config.training.offline_steps;
    remarks.push_back(message("the replay begins with its ", count_text(data->transitions()), " transitions; ",
                              offline > 0 ? count_text(offline) + " updates come" : "offline_steps is 0: no update comes",
                              " before the first step in the environment"));
  }
  Training training(config.training, *agent, worlds.all(), evaluation.all(), data ? &*data : nullptr);
  data.reset();
  if (checkpoint) {
    reading_checkpoint(options.resume, [&] { training.load(*checkpoint); });
    if (training.step() >= config.training.steps)
      throw Error(message(options.resume, " is at step ", training.step(),
                          " already: to go on give more, e.g. --steps ", 2 * training.step()));
  }

  std::optional<NewRunFolder> made;
  if (!resumed) made.emplace(options.out, config);
  const std::string folder = resumed ? options.resume : made->path();
  RunRecorder recorder(folder, config, training, *agent, checkpoint ? &*checkpoint : nullptr, options.quiet,
                       resumed ? &*claim : &made->claim());
  checkpoint.reset();
  if (made) made->keep(true);
  if (resumed)
    recorder.say(training.step() > 0 ? message("going on in ", folder, " after step ", count_text(training.step()))
                                     : message("no checkpoint in ", folder, " yet: starting again"));
  else
    recorder.say(message("training ", config.algorithm, " on ", config.environment, " in ", folder));

  const bool both_cpu = before.starts_with("cpu:") && config.machine.starts_with("cpu:");   // all give the same bits
  if (resumed && !before.empty() && before != config.machine && !both_cpu)
    recorder.say(message("it ran on ", before, "; now on ", config.machine,
                         ": its numbers go on equal to rounding, not to the bit"));
  if (const std::string warning = config.algorithm_settings->warning(config.training); !warning.empty())
    recorder.say("warning: " + warning);
  for (const std::string& remark : remarks) recorder.say(config.training.data + ": " + remark);

  const std::string last = folder + "/" + run_file::last;
  const std::string go_on = shell_quoted(options.program) + " train --resume " + shell_quoted(folder);
  catch_interrupts();
  try {
    training.run(recorder);
  } catch (const Error&) {
    // The same settings would fail again: there is nothing to go on with, but perhaps something to see.
    if (made) made->keep(fs::exists(last) || fs::exists(folder + "/" + run_file::best));
    throw;
  } catch (const ClaimLost&) {
    throw;
  } catch (const Diverged& diverged) {
    throw Failure(message(diverged.what(), "; the same settings would end here again: start a new run with others, ",
                          "e.g. a lower learning_rate"));
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
