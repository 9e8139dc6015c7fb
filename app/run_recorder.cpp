#include <meander/app/run_recorder.h>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <ctime>
#include <filesystem>

#include <meander/app/metrics.h>
#include <meander/app/version.h>
#include <meander/core/text.h>
#include <meander/kernels/error.h>
#include <meander/envs/environments.h>

namespace meander {

namespace {

namespace fs = std::filesystem;

volatile std::sig_atomic_t interrupt_received = 0;

double unix_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// A number of the checkpoint's metadata; 0 without one.
double number_from(const SafetensorsFile* checkpoint, const char* key) {
  if (!checkpoint) return 0;
  try {
    return std::stod(checkpoint->metadata(key));
  } catch (const std::logic_error&) {
    throw Error(message(checkpoint->path(), ": metadata ", key, ": expected a number, got '",
                        checkpoint->metadata(key), "'"));
  }
}

// A resumed run goes on in the event file it has.
std::string events_path(const std::string& folder) {
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().filename().string().starts_with(run_file::events)) return entry.path().string();
  return fmt::format("{}/{}{:.0f}.meander", folder, run_file::events, unix_time());
}

std::string header(const std::vector<std::string>& columns) {
  return fmt::format("step,wall_seconds,{}\n", fmt::join(columns, ","));
}
constexpr size_t columns_before = 2;   // step and wall time

// The columns of metrics.csv after step and wall time.
enum Column { evaluation_mean, evaluation_std, episode_return, first_metric };
const std::string one_step_gap = "one_step_gap", overestimation = "overestimation";   // of evaluations
const std::string success_rate = "evaluation_success_rate";  // the last, where a task's true end is a success

std::vector<std::string> columns_of(const Agent& agent, bool with_success) {
  std::vector<std::string> columns = {"evaluation_return_mean", "evaluation_return_std", "episode_return"};
  for (const char* name : agent.metric_names()) columns.push_back(name);
  columns.push_back("updates_per_second");
  if (agent.has_flow()) columns.push_back(one_step_gap);
  if (agent.discount()) columns.push_back(overestimation);
  if (with_success) columns.push_back(success_rate);
  return columns;
}

}  // namespace

void catch_interrupts() {
  struct sigaction action = {};
  action.sa_handler = [](int) { interrupt_received = 1; };
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction before = {};
    sigaction(number, nullptr, &before);
    if (before.sa_handler != SIG_IGN) sigaction(number, &action, nullptr);  // nohup stays in force
  }
  std::signal(SIGPIPE, SIG_IGN);  // nobody reads the progress any more: no reason to stop
  std::signal(SIGXFSZ, SIG_IGN);  // a file beyond the limit fails to be written, as on a full disk
}

bool interrupted() { return interrupt_received != 0; }

std::string create_run_folder(const std::string& out, const RunConfig& config) {
  std::error_code error;
  std::string folder = out;
  if (out.empty()) {
    const std::string base =
        fmt::format("runs/{}-s{}-{:%Y%m%d-%H%M%S}", safe_file_name(config.algorithm + "-" + config.environment),
                    config.training.seed, fmt::localtime(std::time(nullptr)));
    fs::create_directories("runs", error);
    folder = base;
    for (int n = 2; !error && !fs::create_directory(folder, error); ++n) folder = message(base, "-", n);
  } else {
    fs::create_directories(folder, error);
    if (!error && !fs::is_empty(folder, error) && !error)
      throw Error(message("--out ", folder, ": this folder is not empty; choose another, or go on with it: --resume ",
                          shell_quoted(folder)));
  }
  if (!error && access(folder.c_str(), W_OK) != 0) error = {errno, std::generic_category()};
  if (error)
    throw Error(message("cannot write to the run folder ", folder, ": ", error.message(),
                        "; choose another with --out"));
  return folder;
}

RunRecorder::RunRecorder(std::string folder, RunConfig& config, Training& training, Agent& agent,
                         const SafetensorsFile* checkpoint, bool quiet)
    : folder_(std::move(folder)), config_text_(to_toml(config)), training_(training), agent_(agent),
      algorithm_(config.algorithm), environment_(config.environment),
      log_(path(run_file::log), INT64_MAX, AppendFile::exclusive),
      columns_(columns_of(agent, environment_info(environment_).ends_with_success)),
      metrics_(path(run_file::metrics), static_cast<int64_t>(number_from(checkpoint, "metrics_bytes"))),
      events_(events_path(folder_), static_cast<int64_t>(number_from(checkpoint, "events_bytes"))),
      progress_(training.step(), config.training, quiet),
      row_(columns_.size()),
      earlier_seconds_(number_from(checkpoint, "wall_seconds")),
      reported_updates_(training.updates()) {
  if (metrics_.size() == 0) metrics_.write(header(columns_));
  // A run that goes on keeps the columns it began with, whatever is logged by now.
  const Metrics table(path(run_file::metrics), config.algorithm_settings->renamed());
  for (size_t i = columns_before; i < table.columns().size(); ++i)
    cells_.push_back(static_cast<size_t>(std::ranges::find(columns_, table.columns()[i]) - columns_.begin()));
  replace_file(path(run_file::config), config_text_);
  log(fmt::format("Meander {} ({}), {} on {}, seed {}, {} at step {} of {}", version(), commit(), config.algorithm,
                  config.environment, config.training.seed, checkpoint ? "resumed" : "started",
                  count_text(training.step()), count_text(config.training.steps)));
}

// ---- what the loop reports ------------------------------------------------------------------------------------------

void RunRecorder::episode_ended(int64_t, double value) {
  row_[episode_return] = value;
  progress_.episode_return(value);
}

void RunRecorder::metrics(int64_t, std::span<const double> means) {
  std::copy(means.begin(), means.end(), row_.begin() + first_metric);
  const double seconds = std::chrono::duration<double>(Clock::now() - report_start_).count() - idle_seconds_;
  const auto updates = static_cast<double>(training_.updates() - reported_updates_);
  if (seconds > 0) row_[first_metric + means.size()] = updates / seconds;
  reported_updates_ = training_.updates();
  report_start_ = Clock::now();
  idle_seconds_ = 0;
}

void RunRecorder::evaluated(int64_t step, const Evaluation& evaluation, bool best_so_far) {
  row_[evaluation_mean] = evaluation.mean();
  row_[evaluation_std] = evaluation.deviation();
  for (size_t i = 0; i < columns_.size(); ++i) {
    if (columns_[i] == one_step_gap) row_[i] = evaluation.one_step_gap;
    if (columns_[i] == overestimation) row_[i] = evaluation.overestimation;
  }
  progress_.evaluation_return(evaluation.mean());
  std::string success;
  if (columns_.back() == success_rate) {
    row_.back() = evaluation.end_rate();
    success = fmt::format(", success in {:.0f} %", 100 * evaluation.end_rate());
  }
  say(fmt::format("step {}: evaluation {:.1f} +- {:.1f} over {} episodes{}{}", count_text(step), evaluation.mean(),
                  evaluation.deviation(), evaluation.returns.size(), success, best_so_far ? ", the best so far" : ""));
  idle_seconds_ += std::chrono::duration<double>(Clock::now() - step_start_).count();
  if (!best_so_far) return;
  SafetensorsWriter file;
  file.metadata("format", "meander agent");
  file.metadata("algorithm", algorithm_);
  file.metadata("environment", environment_);
  file.metadata("config", config_text_);
  file.metadata("step", message(step));
  file.metadata("evaluation_return_mean", fmt::format("{}", evaluation.mean()));
  agent_.save(file);
  file.write(path(run_file::best));
}

void RunRecorder::warning(int64_t step, const std::string& text) {
  const std::string line = message("warning: step ", count_text(step), ": ", text);
  log(line);
  progress_.show(line);
}

void RunRecorder::step_done(int64_t step) {
  write_row(step);
  progress_.step_done(step);
  step_start_ = Clock::now();
}

void RunRecorder::checkpoint(int64_t step) {
  const auto start = Clock::now();
  SafetensorsWriter file;
  file.metadata("format", "meander checkpoint");
  file.metadata("algorithm", algorithm_);
  file.metadata("config", config_text_);
  file.metadata("version", version());
  file.metadata("commit", commit());
  file.metadata("wall_seconds", fmt::format("{:.3f}", wall_seconds()));
  file.metadata("metrics_bytes", message(metrics_.size()));
  file.metadata("events_bytes", message(events_.size()));
  training_.save(file);
  file.write(path(run_file::last));
  log(message("step ", count_text(step), ": checkpoint"));
  idle_seconds_ += std::chrono::duration<double>(Clock::now() - start).count();
  step_start_ = Clock::now();
}

void RunRecorder::update_failed(int64_t step) {
  SafetensorsWriter file;
  file.metadata("format", "meander agent");
  file.metadata("algorithm", algorithm_);
  file.metadata("environment", environment_);
  file.metadata("config", config_text_);
  file.metadata("step", message(step - 1));
  agent_.save(file);
  file.write(path(run_file::last_good));
  say(message("step ", count_text(step), ": the update failed; the last finite parameters are in ",
              path(run_file::last_good)));
}

bool RunRecorder::stop() { return interrupted(); }

// ---- writing --------------------------------------------------------------------------------------------------------

double RunRecorder::wall_seconds() const {
  return earlier_seconds_ + std::chrono::duration<double>(Clock::now() - start_).count();
}

void RunRecorder::write_row(int64_t step) {
  scalars_.clear();
  for (size_t i = 0; i < row_.size(); ++i)
    if (row_[i]) scalars_.emplace_back(columns_[i], static_cast<float>(*row_[i]));
  if (scalars_.empty()) return;
  std::string line = fmt::format("{},{:.3f}", step, wall_seconds());
  for (const size_t i : cells_)
    line += i < row_.size() && row_[i] ? fmt::format(",{}", static_cast<float>(*row_[i])) : ",";
  std::ranges::fill(row_, std::nullopt);
  metrics_.write(line + "\n");
  events_.write(step, unix_time(), scalars_);
}

void RunRecorder::say(const std::string& text) {
  log(text);
  progress_.show(text);
}

void RunRecorder::log(const std::string& text) {
  log_.write(fmt::format("{:%Y-%m-%d %H:%M:%S}  {}\n", fmt::localtime(std::time(nullptr)), shown(text)));
}

}  // namespace meander
