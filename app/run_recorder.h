#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <meander/algos/training.h>
#include <meander/app/claim.h>
#include <meander/app/event_file.h>
#include <meander/app/files.h>
#include <meander/app/progress.h>
#include <meander/app/run_config.h>
#include <meander/app/run_folder.h>

namespace meander {

// Writes what a run leaves behind: configuration, metrics, TensorBoard events, checkpoints, log; and shows progress.
class RunRecorder : public Observer {
 public:
  // Of a new run, or of one that goes on from its checkpoint: then the metrics are cut back to it. Without a claim of
  // the folder it makes one, and throws Error if another process is writing there. A process that lost its claim throws
  // ClaimLost from the functions below and writes nothing more.
  RunRecorder(std::string folder, RunConfig& config, Training& training, Agent& agent,
              const SafetensorsFile* checkpoint, bool quiet, Claim* claim = nullptr);

  void episode_ended(int64_t step, double episode_return) override;
  void metrics(int64_t step, std::span<const double> means) override;
  void evaluated(int64_t step, const Evaluation& evaluation, bool best_so_far) override;
  void warning(int64_t step, const std::string& text) override;
  void step_done(int64_t step) override;
  void checkpoint(int64_t step) override;
  void update_failed(int64_t step) override;
  bool stop() override;

  // To the log and, unless quiet, to the screen.
  void say(const std::string& text);

 private:
  using Clock = std::chrono::steady_clock;

  std::string path(const char* file) const { return folder_ + "/" + file; }
  double wall_seconds() const;
  void log(const std::string& text);
  void set(const std::string& column, std::optional<double> value);   // of this step, where there is such a column
  void write_row(int64_t step);
  void expect_all(const char* file, int64_t there, int64_t counted);
  std::function<void()> last_check() const { return [this] { claim_.check(); }; }

  std::string folder_, config_text_;
  Training& training_;
  Agent& agent_;
  std::string algorithm_, environment_;
  std::unique_ptr<Claim> own_claim_;
  Claim& claim_;
  std::vector<std::string> columns_;
  std::string events_name_;
  std::optional<AppendFile> log_, metrics_;
  std::vector<size_t> cells_;              // of a line, as places in row_; past its end: a cell that stays empty
  std::optional<EventFile> events_;
  Progress progress_;

  std::vector<std::optional<double>> row_; // of this step; empty cells: nothing new
  std::vector<EventFile::Scalar> scalars_;
  Clock::time_point start_ = Clock::now(), report_start_ = start_, step_start_ = start_;
  double earlier_seconds_ = 0;             // of the run before it was resumed
  double idle_seconds_ = 0;                // spent on evaluations and checkpoints since the last report
  int64_t reported_updates_ = 0;
};

// From now on the signals that ask a process to end (SIGINT, SIGTERM, SIGHUP, and SIGUSR1, SIGUSR2 and SIGXCPU, which
// batch systems send before a time limit) only make interrupted() true; one of the first three a second time ends the
// process at once.
void catch_interrupts();
bool interrupted();

}  // namespace meander
