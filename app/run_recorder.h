#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include <meander/algos/training.h>
#include <meander/app/event_file.h>
#include <meander/app/files.h>
#include <meander/app/progress.h>
#include <meander/app/run_config.h>

namespace meander {

// The files of a run folder by name.
namespace run_file {
inline constexpr const char* config = "config.toml";
inline constexpr const char* metrics = "metrics.csv";
inline constexpr const char* log = "log.txt";
inline constexpr const char* last = "last.safetensors";            // everything, to resume
inline constexpr const char* best = "best.safetensors";            // the agent of the best evaluation
inline constexpr const char* last_good = "last_good.safetensors";  // the last finite agent, if an update failed
inline constexpr const char* events = "events.out.tfevents.";      // and a time
}  // namespace run_file

// Creates the folder of a new run, runs/ALGO-ENV-sSEED-TIME if `out` is empty. Throws Error if it cannot be created or
// written to, or holds anything.
std::string create_run_folder(const std::string& out, const RunConfig& config);

// Writes what a run leaves behind: configuration, metrics, TensorBoard events, checkpoints, log; and shows progress.
class RunRecorder : public Observer {
 public:
  // Of a new run, or of one that goes on from its checkpoint: then the metrics are cut back to it. Throws Error if
  // another process is writing to the folder.
  RunRecorder(std::string folder, RunConfig& config, Training& training, Agent& agent,
              const SafetensorsFile* checkpoint, bool quiet);

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
  void write_row(int64_t step);

  std::string folder_, config_text_;
  Training& training_;
  Agent& agent_;
  std::string algorithm_, environment_;
  AppendFile log_;                         // first: its lock guards the other files
  std::vector<std::string> columns_;
  AppendFile metrics_;
  std::vector<size_t> cells_;              // of a line, as places in row_; past its end: a cell that stays empty
  EventFile events_;
  Progress progress_;

  std::vector<std::optional<double>> row_; // of this step; empty cells: nothing new
  std::vector<EventFile::Scalar> scalars_;
  Clock::time_point start_ = Clock::now(), report_start_ = start_, step_start_ = start_;
  double earlier_seconds_ = 0;             // of the run before it was resumed
  double idle_seconds_ = 0;                // spent on evaluations and checkpoints since the last report
  int64_t reported_updates_ = 0;
};

// From now on SIGINT, SIGTERM and SIGHUP only make interrupted() true; a second one ends the process at once.
void catch_interrupts();
bool interrupted();

}  // namespace meander
