#include <meander/app/progress.h>

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

namespace meander {

Progress::Progress(int64_t first_step, const TrainingSettings& settings, bool quiet)
    : steps_(settings.steps), offline_steps_(settings.offline_steps),
      start_(settings.offline_steps + settings.start_steps), quiet_(quiet), terminal_(isatty(STDOUT_FILENO)),
      shown_step_(first_step) {}

Progress::~Progress() { clear(); }

void Progress::step_done(int64_t step) {
  if (quiet_) return;
  const double seconds = std::chrono::duration<double>(Clock::now() - shown_).count();
  if (seconds < (terminal_ ? 0.25 : 10.0)) return;

  // Steps with updates are far slower than others: the time left is told from them alone.
  const double speed = static_cast<double>(step - shown_step_) / seconds;
  const bool updating = shown_step_ >= start_ || shown_step_ < offline_steps_;
  speed_ = speed_ == 0 || updating != updating_ ? speed : speed_ + (terminal_ ? 0.1 : 0.5) * (speed - speed_);
  updating_ = updating;
  shown_ = Clock::now();
  shown_step_ = step;

  std::string line = fmt::format("step {} of {} ({:.1f} %), {:.0f} steps/s", count_text(step), count_text(steps_),
                                 100.0 * static_cast<double>(step) / static_cast<double>(steps_), speed_);
  if (step < offline_steps_) line += fmt::format(", offline until {}", count_text(offline_steps_));
  else if (step < start_)
    line += fmt::format(", {} until {}", offline_steps_ > 0 ? "no updates" : "random", count_text(start_));
  if (updating && speed_ > 0) line += ", " + duration_text(static_cast<double>(steps_ - step) / speed_) + " left";
  if (episode_return_) line += fmt::format(", last return {:.1f}", *episode_return_);
  if (evaluation_return_) line += fmt::format(", evaluation {:.1f}", *evaluation_return_);
  clear();
  fmt::print("{}{}", line, terminal_ ? "" : "\n");
  line_open_ = terminal_;
  std::fflush(stdout);
}

void Progress::show(const std::string& text) {
  if (quiet_) return;
  clear();
  fmt::print("{}\n", text);
  std::fflush(stdout);
}

void Progress::clear() {
  if (line_open_) fmt::print("\r\033[K");
  line_open_ = false;
}

std::string duration_text(double seconds) {
  const auto whole = static_cast<int64_t>(seconds + 0.5);
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
}

std::string count_text(int64_t count) {
  std::string text = std::to_string(count);
  for (auto i = std::ssize(text) - 3; i > (count < 0 ? 1 : 0); i -= 3) text.insert(static_cast<size_t>(i), ",");
  return text;
}

}  // namespace meander
