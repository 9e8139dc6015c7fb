#include <meander/app/progress.h>

#include <fmt/format.h>

#include <string>
#include <vector>

#include <meander/app/output.h>

namespace meander {

Progress::Progress(int64_t first_step, const TrainingSettings& settings, bool quiet)
    : steps_(settings.steps), offline_steps_(settings.offline_steps),
      start_(settings.offline_steps + settings.start_steps), quiet_(quiet), shown_step_(first_step) {}

void Progress::step_done(int64_t step) {
  if (quiet_) return;
  const double seconds = std::chrono::duration<double>(Clock::now() - shown_).count();
  if (seconds < (line_.changes() ? 0.25 : 10.0)) return;

  // Steps with updates are far slower than others: the time left is told from them alone.
  const double speed = static_cast<double>(step - shown_step_) / seconds;
  const bool updating = shown_step_ >= start_ || shown_step_ < offline_steps_;
  speed_ = speed_ == 0 || updating != updating_ ? speed : speed_ + (line_.changes() ? 0.1 : 0.5) * (speed - speed_);
  updating_ = updating;
  shown_ = Clock::now();
  shown_step_ = step;

  const auto percent = 100.0 * static_cast<double>(step) / static_cast<double>(steps_);
  std::vector<std::string> parts = {
      fmt::format("step {} of {} ({:.1f} %)", count_text(step), count_text(steps_), percent),
      fmt::format("{:.0f} steps/s", speed_)};
  if (step < offline_steps_) parts.push_back("offline until " + count_text(offline_steps_));
  else if (step < start_)
    parts.push_back((offline_steps_ > 0 ? "no updates until " : "random until ") + count_text(start_));
  if (updating && speed_ > 0)
    parts.push_back(duration_text(static_cast<double>(steps_ - step) / speed_) + " left");
  if (episode_return_) parts.push_back(fmt::format("last return {:.1f}", *episode_return_));
  if (evaluation_return_) parts.push_back(fmt::format("evaluation {:.1f}", *evaluation_return_));
  line_.show(parts);
}

void Progress::show(const std::string& text) {
  if (quiet_) return;
  line_.clear();
  print("{}\n", text);
  flush_output();
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
