#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <thread>

#include <meander/app/child_process.h>
#include <meander/app/claim.h>
#include <meander/app/gnuplot.h>
#include <meander/app/output.h>
#include <meander/app/output_place.h>
#include <meander/app/progress.h>
#include <meander/app/run_group.h>
#include <meander/app/run_recorder.h>
#include <meander/app/status_line.h>
#include <meander/app/sweep_grid.h>
#include <meander/app/sweep_report.h>
#include <meander/app/verbs.h>
#include <meander/core/file_numbers.h>
#include <meander/kernels/error.h>
#include <meander/envs/environments.h>
#include <meander/kernels/threads.h>

namespace meander {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

// The step of a run's last checkpoint, 0 without one.
int64_t checkpoint_step(const std::string& folder) {
  const std::string path = folder + "/" + run_file::last;
  return fs::exists(path) ? whole_metadata(SafetensorsFile(path), "step", 0, int64_t{1} << 53) : 0;
}

// A run of the sweep: where it is, what it is, and how far.
struct SweepRun {
  GridRun grid;
  std::string folder;
  bool exists = false, complete = false;
  std::vector<std::string> command;
};

// Throws Error if the folder of a run holds something that cannot become this run.
void compare_with_folder(SweepRun& run, RunConfig& config) {
  const std::string& folder = run.folder;
  if (is_unused(folder)) return;
  if (!fs::exists(folder + "/" + run_file::config))
    throw Error(folder + ": not a run folder, and in the way; remove it or choose another --out");
  const ConfigText text = read_config_text(folder + "/" + run_file::config);
  RunConfig there = resolve("", "", &text, {});
  if (const auto other = difference(there, config))
    throw Error(message(folder, " holds a run with ", other->what, " ", other->first, ", not ", other->second,
                        "; choose another --out"));
  const int64_t step = checkpoint_step(folder), steps = config.training.steps;
  if (step > steps)
    throw Error(message(folder, " is at step ", step, " already: give as many --steps, or another --out"));
  run.exists = true;
  run.complete = step == steps;
}

// A sweep's folder holds its runs: one that is a run itself, or holds a report and no run, is somebody else's.
void expect_folder_of_sweep(const std::string& out) {
  if (fs::exists(out + "/" + run_file::config)) throw Error(out + ": a run, not a sweep; choose another --out");
  bool runs = false;
  if (fs::is_directory(out))
    for (const fs::directory_entry& entry : fs::directory_iterator(out))
      runs = runs || fs::exists(entry.path() / run_file::config);
  for (const char* name : {"table.csv", "curves.png"})
    if (!runs && fs::exists(fs::symlink_status(fs::path(out) / name)))
      throw Error(message(out, "/", name, ": there is no run that it is of; choose another --out"));
}

// Everything that can be wrong is found here, before a run starts.
std::vector<SweepRun> plan(const SweepOptions& options, const std::string& out) {
  std::vector<GridAxis> axes;
  for (const std::string& text : options.grid) axes.push_back(parse_grid_axis(text));
  const std::vector<int64_t> seeds = parse_seeds(options.seeds);
  std::vector<SweepRun> runs;
  std::map<DecidingSettings, std::string> combinations;  // and the name of the first run of each
  for (const GridRun& grid : grid_runs(axes, seeds)) {
    std::vector<Assignment> assignments = grid.assignments;
    if (!options.steps.empty()) assignments.push_back({"--steps", "steps", options.steps});
    assignments.push_back({"--seeds", "seed", message(grid.seed)});
    RunConfig config = resolve(options.algorithm, options.environment, nullptr, assignments);
    if (grid.seed == seeds.front()) {
      const EnvironmentInfo task = environment_info(config.environment);
      config.algorithm_settings->make_agent(task.observations, task.actions, 0);  // it checks settings together
      const auto [same, added] = combinations.emplace(deciding_settings(config), grid.name);
      if (!added) throw Error(same->second + " and " + grid.name + " are the same run: a value is there twice");
    }
    SweepRun run{grid, out + "/" + grid.name, false, false, {}};
    compare_with_folder(run, config);
    const std::string steps = message(config.training.steps);
    run.command = {"/proc/self/exe", "train", "--steps", steps, "--threads", "1", "--quiet"};
    const auto add = [&](const std::string& option, const std::string& value) {
      run.command.push_back(option);
      run.command.push_back(value);
    };
    if (run.exists) {
      add("--resume", run.folder);
    } else {
      add("--algo", config.algorithm);
      add("--env", config.environment);
      add("--seed", message(grid.seed));
      for (const Assignment& assignment : grid.assignments) add("--set", assignment.key + "=" + assignment.text);
      add("--out", run.folder);
    }
    runs.push_back(std::move(run));
  }
  return runs;
}

std::string last_line(std::string text) {
  while (text.ends_with('\n')) text.pop_back();
  return text.substr(text.rfind('\n') + 1);
}

std::string last_line_of_file(const std::string& path) {
  std::ifstream in(path);
  std::string last;
  for (std::string line; std::getline(in, line);)
    if (!line.empty()) last = line;
  return last;
}

// ---- running --------------------------------------------------------------------------------------------------------

// Runs of a sweep side by side; what happens to them goes to the screen and to a log.
class Runner {
 public:
  Runner(std::vector<SweepRun>& runs, AppendFile& log)
      : runs_(runs), log_(log),
        done_(static_cast<size_t>(std::count_if(runs.begin(), runs.end(), [](auto& run) { return run.complete; }))) {}

  // Until all have ended, or Ctrl-C: then they are asked to save and end.
  void run(size_t jobs) {
    size_t next = 0;
    bool asked_to_end = false;
    for (;;) {
      if (interrupted() && !asked_to_end) {
        for (Child& child : children_) child.process->terminate();
        asked_to_end = true;
      }
      collect();
      for (; next < runs_.size() && children_.size() < jobs && !interrupted(); ++next)
        if (!runs_[next].complete) start(runs_[next]);
      show();
      if (children_.empty() && (next == runs_.size() || interrupted())) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    line_.clear();
  }

  size_t done() const { return done_; }
  size_t failed() const { return failed_; }

 private:
  struct Child {
    SweepRun* run;
    std::unique_ptr<ChildProcess> process;
  };

  void start(SweepRun& run) {
    children_.push_back({&run, std::make_unique<ChildProcess>(run.command)});
    log(run.grid.name + (run.exists ? ": goes on" : ": started"));
  }

  void collect() {
    for (size_t i = 0; i < children_.size();) {
      if (!children_[i].process->ended()) {
        ++i;
        continue;
      }
      const Child child = std::move(children_[i]);
      children_.erase(children_.begin() + static_cast<std::ptrdiff_t>(i));
      SweepRun& run = *child.run;
      const int status = child.process->wait();
      run.complete = status == 0;
      if (status == 0) {
        ++done_, ++ended_;
        log(run.grid.name + ": done");
      } else if (interrupted()) {
        log(run.grid.name + ": stopped");
      } else {
        ++failed_;
        std::string reason = last_line(child.process->error());
        if (reason.empty()) reason = last_line_of_file(run.folder + "/" + run_file::log);
        const std::string line = fmt::format("{}: failed with status {}: {}", run.grid.name, status, reason);
        log(line);
        line_.clear();
        warn("{}\n", line);
      }
    }
  }

  void show() {
    const bool changed = shown_done_ != done_ || shown_failed_ != failed_;
    if (!changed && !(line_.changes() && Clock::now() - shown_at_ > std::chrono::seconds(1))) return;
    shown_done_ = done_, shown_failed_ = failed_, shown_at_ = Clock::now();
    std::vector<std::string> parts = {fmt::format("{} of {} runs done", done_, runs_.size())};
    if (failed_ > 0) parts.push_back(fmt::format("{} failed", failed_));
    if (const size_t left = runs_.size() - done_ - failed_; left > 0) {
      parts.push_back(fmt::format("{} running", children_.size()));
      // As if the ones running had just begun: rather too long than too short.
      const double share = static_cast<double>(left) / static_cast<double>(ended_);
      if (ended_ > 0) parts.push_back("about " + duration_text(seconds() * share) + " left");
    }
    line_.show(parts);
  }

  void log(const std::string& text) {
    log_.write(fmt::format("{:%Y-%m-%d %H:%M:%S}  {}\n", fmt::localtime(std::time(nullptr)), shown(text)));
  }

  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

  std::vector<SweepRun>& runs_;
  AppendFile& log_;
  StatusLine line_;
  std::vector<Child> children_;
  size_t done_, ended_ = 0, failed_ = 0;  // ended_: those done by this process
  size_t shown_done_ = SIZE_MAX, shown_failed_ = 0;
  Clock::time_point start_ = Clock::now(), shown_at_ = start_;
};

// ---- what was found -------------------------------------------------------------------------------------------------

// What a sweep leaves beside its runs.
struct ReportPlaces {
  explicit ReportPlaces(const std::string& out) : table(out + "/table.csv"), picture(out + "/curves.png") {}
  OutputPlace table, picture;
};

// Prints the table of these runs and writes it, and the curves.
void report(const std::vector<std::string>& folders, const ReportPlaces& places) {
  std::vector<Run> runs;
  for (const std::string& folder : folders) runs.push_back(read_run(folder));
  const std::vector<RunGroup> groups = group_runs(std::move(runs));
  const std::vector<SweepRow> rows = sweep_rows(groups);
  print("\nLast evaluation return\n");
  print_lines(sweep_table(rows));
  places.table.put(sweep_csv(rows));
  const std::string column = "evaluation_return_mean";
  std::vector<std::string> left_out;
  try {
    draw(learning_curves(groups, column, left_out), column, places.picture);
    print("\nwrote {} and {}\n", places.table.path(), places.picture.path());
  } catch (const Failure& failure) {
    print("\nwrote {}; no curves: {}\n", places.table.path(), failure.what());
  }
}

int report_alone(const std::string& out) {
  if (!fs::is_directory(out)) throw Error(out + ": no such folder of a sweep");
  const ReportPlaces places(out);
  std::vector<std::string> complete;
  size_t all = 0;
  for (const std::string& folder : run_paths(out)) {
    if (!fs::exists(folder + "/" + run_file::config)) throw Error(out + ": no runs in this folder");
    const ConfigText text = read_config_text(folder + "/" + run_file::config);
    ++all;
    if (checkpoint_step(folder) >= resolve("", "", &text, {}).training.steps) complete.push_back(folder);
  }
  print("{} of {} runs done\n", complete.size(), all);
  if (!complete.empty()) report(complete, places);
  return 0;
}

}  // namespace

int sweep(const SweepOptions& options) {
  if (options.out.empty() && (options.algorithm.empty() || options.environment.empty()))
    throw Error(options.report ? "--report needs --out FOLDER, or --algo and --env"
                               : "a sweep needs --algo NAME and --env NAME (meander list prints them all)");
  const std::string out =
      options.out.empty() ? "sweeps/" + safe_file_name(options.algorithm + "-" + options.environment) : options.out;
  if (!options.algorithm.empty()) make_algorithm(options.algorithm);  // throws where there is none of the name
  if (!options.environment.empty()) environment_info(options.environment);
  if (options.report) return report_alone(out);
  if (options.environment.empty())
    throw Error("no environment given: add --env NAME (meander list prints them all)");

  const auto jobs = static_cast<size_t>(options.jobs > 0 ? options.jobs : kernels::threads());
  kernels::set_threads(1);  // this process only waits
  expect_folder_of_sweep(out);
  std::vector<SweepRun> runs = plan(options, out);
  std::error_code error;
  fs::create_directories(out, error);
  if (error) throw Error("--out " + out + ": " + error.message());
  const Claim claim(out, Claim::in(out));
  AppendFile log(out + "/" + run_file::log);
  const ReportPlaces places(out);

  catch_interrupts();
  Runner runner(runs, log);
  runner.run(jobs);
  if (interrupted()) {
    print("stopped: {} of {} runs are done, the others are saved; to go on, give the same command again\n",
          runner.done(), runs.size());
    return 130;
  }
  std::vector<std::string> complete;
  for (const SweepRun& run : runs)
    if (run.complete) complete.push_back(run.folder);
  if (!complete.empty()) report(complete, places);
  return runner.failed() > 0 ? 1 : 0;
}

}  // namespace meander
