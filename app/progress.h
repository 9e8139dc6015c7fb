#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include <meander/algos/training.h>
#include <meander/app/status_line.h>

namespace meander {

// How far a run is: one line that changes on a terminal, a line now and then elsewhere.
class Progress {
 public:
  Progress(int64_t first_step, const TrainingSettings& settings, bool quiet);

  void step_done(int64_t step);             // shows a line if it is time for one
  void show(const std::string& text);       // a line of its own, above the changing one
  void episode_return(double value) { episode_return_ = value; }
  void evaluation_return(double value) { evaluation_return_ = value; }

 private:
  using Clock = std::chrono::steady_clock;

  int64_t steps_, offline_steps_;
  int64_t start_;                           // the first environment step with an update
  bool quiet_;
  StatusLine line_;
  std::optional<double> episode_return_, evaluation_return_;
  Clock::time_point shown_ = Clock::now();
  int64_t shown_step_;
  double speed_ = 0;                        // steps a second, smoothed
  bool updating_ = false;                   // measured over steps with updates
};

// 75 -> "1 min 15 s", 8000 -> "2 h 13 min".
std::string duration_text(double seconds);
// 1234567 -> "1,234,567".
std::string count_text(int64_t count);

}  // namespace meander
