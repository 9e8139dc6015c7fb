#include <meander/app/run_recorder.h>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <ctime>
#include <filesystem>
#include <fstream>

#include <meander/app/acting_record.h>
#include <meander/app/metrics.h>
#include <meander/app/output.h>
#include <meander/app/version.h>
#include <meander/core/file_numbers.h>
#include <meander/core/json.h>
#include <meander/core/replacement.h>
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

// Numbers of a checkpoint's metadata; 0 without one.
int64_t bytes_from(const SafetensorsFile* checkpoint, const char* key) {
  return checkpoint ? whole_metadata(*checkpoint, key, 1, int64_t{1} << 53) : 0;  // there is a header
}
double seconds_from(const SafetensorsFile* checkpoint) {
  return checkpoint ? real_metadata(*checkpoint, "wall_seconds", 0, 1e12) : 0;
}

// The name of the run's own event file: the checkpoint's; of an older version, which did not note it, and without a
// checkpoint the only one that has such a name; else a new one. Those of other programs are not looked at.
std::string events_name(const std::string& folder, const SafetensorsFile* checkpoint) {
  if (checkpoint && checkpoint->metadata().contains("events")) {
    const std::string& name = checkpoint->metadata("events");
    if (!is_events_name(name))
      throw Error(message(checkpoint->path(), ": metadata events: expected the name of an event file, got ",
                          quoted(name)));
    return name;
  }
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(folder))
    if (is_events_name(entry.path().filename().string())) found.push_back(entry.path().filename().string());
  if (found.size() == 1) return found.front();
  std::string name;
  for (auto second = static_cast<int64_t>(unix_time());; ++second) {
    name = fmt::format("{}{}.meander", run_file::events, second);
    if (!fs::exists(fs::symlink_status(folder + "/" + name))) return name;
  }
}

// How much of a file's first `bytes` there is.
int64_t bytes_there(const std::string& path, int64_t bytes) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  return error ? 0 : std::min(bytes, static_cast<int64_t>(size));
}

// The same in whole lines.
int64_t lines_there(const std::string& path, int64_t bytes) {
  if (!fs::is_regular_file(fs::symlink_status(path))) return 0;
  std::string text(static_cast<size_t>(bytes_there(path, bytes)), '\0');
  std::ifstream(path, std::ios::binary).read(text.data(), std::ssize(text));
  return static_cast<int64_t>(text.rfind('\n') + 1);
}

std::string header(const std::vector<std::string>& columns) {
  return fmt::format("step,wall_seconds,{}\n", fmt::join(columns, ","));
}
constexpr size_t columns_before = 2;   // step and wall time

// The columns of metrics.csv after step and wall time.
enum Column { evaluation_mean, evaluation_std, episode_return, first_metric };
const std::string one_step_gap = "one_step_gap", overestimation = "overestimation";   // of evaluations
const std::string updates_per_second = "updates_per_second";
const std::string success_rate = "evaluation_success_rate";  // the last, where a task's true end is a success

std::vector<std::string> columns_of(const Agent& agent, bool with_success) {
  std::vector<std::string> columns = {"evaluation_return_mean", "evaluation_return_std", "episode_return"};
  for (const char* name : agent.metric_names()) columns.push_back(name);
  if (agent.has_flow()) columns.push_back(one_step_gap);
  if (agent.discount()) columns.push_back(overestimation);
  columns.push_back(updates_per_second);
  if (with_success) columns.push_back(success_rate);
  return columns;
}

}  // namespace

void catch_interrupts() {
  struct sigaction action = {};
  action.sa_handler = [](int) { interrupt_received = 1; };
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU}) {
    // A person who asks again means it; a system repeats SIGXCPU every second.
    const bool by_people = number == SIGINT || number == SIGTERM || number == SIGHUP;
    action.sa_flags = by_people ? static_cast<int>(SA_RESETHAND) : 0;
    struct sigaction before = {};
    sigaction(number, nullptr, &before);
    if (before.sa_handler != SIG_IGN) sigaction(number, &action, nullptr);  // nohup stays in force
  }
  std::signal(SIGPIPE, SIG_IGN);  // nobody reads the progress any more: no reason to stop
  std::signal(SIGXFSZ, SIG_IGN);  // a file beyond the limit fails to be written, as on a full disk
}

bool interrupted() { return interrupt_received != 0; }

RunRecorder::RunRecorder(std::string folder, RunConfig& config, Training& training, Agent& agent,
                         const SafetensorsFile* checkpoint, bool quiet, Claim* claim)
    : folder_(std::move(folder)), config_text_(to_toml(config)), training_(training), agent_(agent),
      algorithm_(config.algorithm), environment_(config.environment),
      own_claim_(claim ? nullptr : std::make_unique<Claim>(folder_, Claim::in(folder_))),
      claim_(claim ? *claim : *own_claim_),
      columns_(columns_of(agent, environment_info(environment_).ends_with_success)),
      events_name_(events_name(folder_, checkpoint)),
      progress_(training.step(), config.training, quiet),
      row_(columns_.size()),
      earlier_seconds_(seconds_from(checkpoint)),
      reported_updates_(training.updates()) {
  const int64_t metrics_bytes = bytes_from(checkpoint, "metrics_bytes");
  const int64_t events_bytes = bytes_from(checkpoint, "events_bytes");
  // The configuration first: with it a folder can be resumed, whatever else a crash leaves.
  replace_file(path(run_file::config), config_text_, last_check());
  const int64_t lines = lines_there(path(run_file::metrics), metrics_bytes);
  const int64_t events = bytes_there(path(events_name_.c_str()), events_bytes);
  log_.emplace(path(run_file::log));
  metrics_.emplace(path(run_file::metrics), lines);
  events_.emplace(path(events_name_.c_str()), events);
  if (lines == 0) metrics_->write(header(columns_));
  flush_folder(folder_);

  // A run that goes on keeps the columns it began with, whatever is logged by now.
  const Metrics table(path(run_file::metrics), config.algorithm_settings->renamed());
  for (size_t i = columns_before; i < table.columns().size(); ++i)
    cells_.push_back(static_cast<size_t>(std::ranges::find(columns_, table.columns()[i]) - columns_.begin()));
  log(fmt::format("Meander {} ({}), {} on {}, seed {}, {} at step {} of {}", version(), commit(), config.algorithm,
                  config.environment, config.training.seed, checkpoint ? "resumed" : "started",
                  count_text(training.step()), count_text(config.training.steps)));
  expect_all(run_file::metrics, lines, metrics_bytes);
  expect_all(events_name_.c_str(), events, events_bytes);
}

// What a loss of power or an editor took from a file is said, also in a quiet run.
void RunRecorder::expect_all(const char* file, int64_t there, int64_t counted) {
  if (there == counted) return;
  const std::string line = message(path(file), " is shorter than at the checkpoint, by ", counted - there, " of ",
                                   counted, " bytes: the run goes on without what was in them");
  log("warning: " + line);
  warn("meander: {}\n", line);
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
  if (seconds > 0) set(updates_per_second, updates / seconds);
  reported_updates_ = training_.updates();
  report_start_ = Clock::now();
  idle_seconds_ = 0;
}

void RunRecorder::evaluated(int64_t step, const Evaluation& evaluation, bool best_so_far) {
  row_[evaluation_mean] = evaluation.mean();
  row_[evaluation_std] = evaluation.deviation();
  set(one_step_gap, evaluation.one_step_gap);
  set(overestimation, evaluation.overestimation);
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
  file.metadata(acting_key, acting_text(training_.task(), agent_.policy()));
  file.metadata("step", message(step));
  file.metadata("evaluation_return_mean", fmt::format("{}", evaluation.mean()));
  agent_.save(file);
  file.write(path(run_file::best), last_check());
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
  file.metadata(acting_key, acting_text(training_.task(), agent_.policy()));
  file.metadata("version", version());
  file.metadata("commit", commit());
  file.metadata("wall_seconds", fmt::format("{:.3f}", wall_seconds()));
  file.metadata("metrics_bytes", message(metrics_->size()));
  file.metadata("events", events_name_);
  file.metadata("events_bytes", message(events_->size()));
  training_.save(file);
  // What it counts is on the disk before it is.
  metrics_->flush();
  events_->flush();
  file.write(path(run_file::last), last_check());
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
  file.metadata(acting_key, acting_text(training_.task(), agent_.policy()));
  file.metadata("step", message(step - 1));
  agent_.save(file);
  file.write(path(run_file::last_good), last_check());
  say(message("step ", count_text(step), ": the update failed; the last finite parameters are in ",
              path(run_file::last_good)));
}

bool RunRecorder::stop() { return interrupted(); }

// ---- writing --------------------------------------------------------------------------------------------------------

double RunRecorder::wall_seconds() const {
  return earlier_seconds_ + std::chrono::duration<double>(Clock::now() - start_).count();
}

void RunRecorder::set(const std::string& column, std::optional<double> value) {
  for (size_t i = 0; i < columns_.size(); ++i)
    if (columns_[i] == column) row_[i] = value;
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
  claim_.check();
  metrics_->write(line + "\n");
  events_->write(step, unix_time(), scalars_);
}

void RunRecorder::say(const std::string& text) {
  log(text);
  progress_.show(text);
}

void RunRecorder::log(const std::string& text) {
  log_->write(fmt::format("{:%Y-%m-%d %H:%M:%S}  {}\n", fmt::localtime(std::time(nullptr)), shown(text)));
}

}  // namespace meander
