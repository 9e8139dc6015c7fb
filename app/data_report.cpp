#include <meander/app/data_report.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include <meander/algos/evaluation.h>
#include <meander/algos/data_set.h>
#include <meander/app/output.h>
#include <meander/app/progress.h>
#include <meander/core/json.h>
#include <meander/envs/environments.h>

namespace meander {

namespace {

std::vector<double> lengths(const DataSet& data) {
  std::vector<double> result;
  double steps = 0;
  for (const uint8_t terminal : data.terminal) {
    if (terminal) result.push_back(std::exchange(steps, 0));
    else ++steps;
  }
  return result;
}

// One number of all rows that count.
struct Column {
  double low = INFINITY, high = -INFINITY, sum = 0, squares = 0;
  int64_t count = 0, at_bound = 0;

  void include(double x) {
    low = std::min(low, x), high = std::max(high, x);
    sum += x, squares += x * x, ++count;
    at_bound += std::fabs(x) >= 1;
  }
  double mean() const { return sum / static_cast<double>(count); }
  double deviation() const { return std::sqrt(std::max(0.0, squares / static_cast<double>(count) - mean() * mean())); }
};

std::vector<Column> columns(const DataSet& data, const std::vector<float>& numbers, int64_t width, bool of_steps) {
  std::vector<Column> result(static_cast<size_t>(width));
  for (int64_t row = 0; row < data.rows(); ++row)
    if (!of_steps || !data.terminal[row])
      for (int64_t i = 0; i < width; ++i) result[static_cast<size_t>(i)].include(numbers[row * width + i]);
  return result;
}

void print_columns(const char* what, const std::vector<Column>& all, bool with_bounds) {
  print("\n  {:<24} {:>12} {:>12} {:>12} {:>12}{}\n", what, "min", "mean", "max", "std",
        with_bounds ? "   at -1 or 1" : "");
  constexpr size_t most = 64;
  for (size_t i = 0; i < std::min(all.size(), most); ++i) {
    const Column& c = all[i];
    const double share = static_cast<double>(c.at_bound) / static_cast<double>(c.count);
    print("  {:<24} {:>12.5g} {:>12.5g} {:>12.5g} {:>12.5g}{}\n", i, c.low, c.mean(), c.high, c.deviation(),
          with_bounds ? fmt::format("{:>10.1f} %", 100 * share) : "");
  }
  if (all.size() > most) print("  and {} more\n", all.size() - most);
}

}  // namespace

void print_data_set(const std::string& path, const DataFile& file, bool with_rewards) {
  const DataSet& data = file.data;
  const Evaluation episodes{data.episode_returns()};
  print("{}: a data set of {} observations and {} actions\n\n", path, data.observations, data.actions);
  const auto line = [](const char* what, const std::string& text) { print("  {:<24} {:>14}\n", what, text); };
  if (!file.environment.empty()) line("environment", quoted(file.environment));
  for (const auto& [what, text] : file.about) line(what.c_str(), text);
  line("rows", count_text(data.rows()));
  line("transitions", count_text(data.transitions()));
  if (with_rewards)
    line("true ends (mask 0)", count_text(std::count(data.mask.begin(), data.mask.end(), 0.0f)));
  line("episodes", count_text(std::ssize(episodes.returns)));
  const auto known = environment_names();
  if (with_rewards && std::find(known.begin(), known.end(), file.environment) != known.end() &&
      environment_info(file.environment).ends_with_success) {
    int64_t successes = 0;
    for (int64_t row = 0; row + 1 < data.rows(); ++row) successes += data.terminal[row + 1] && data.mask[row] == 0;
    line("that end with success", count_text(successes));
  }
  std::vector<double> steps = lengths(data);
  std::sort(steps.begin(), steps.end());
  print("  {:<24} min {:.0f}  median {:.0f}  max {:.0f}\n", "steps of an episode", steps.front(),
        steps[steps.size() / 2], steps.back());
  if (with_rewards)
    print("  {:<24} mean {:.6g}  std {:.6g}  min {:.6g}  max {:.6g}\n", "return (cut ones too)", episodes.mean(),
               episodes.deviation(), episodes.lowest(), episodes.highest());
  else
    print("  no rewards: with --env a task of a fixed goal gives them, from the positions in the file\n");
  print_columns("action", columns(data, data.action, data.actions, true), true);
  print_columns("observation", columns(data, data.observation, data.observations, false), false);
  if (!file.remarks.empty()) print("\n");
  for (const std::string& remark : file.remarks) print("  {}\n", remark);
}

std::vector<Histogram> distributions(const DataFile& file) {
  const DataSet& data = file.data;
  std::vector<Histogram> result = {histogram("steps of an episode", lengths(data)),
                                   histogram("return of an episode", data.episode_returns())};
  for (int i = 0; i < data.actions; ++i) {
    std::vector<double> values;
    for (int64_t row = 0; row < data.rows(); ++row)
      if (!data.terminal[row]) values.push_back(data.action[row * data.actions + i]);
    result.push_back(histogram(fmt::format("action {}", i), values));
  }
  return result;
}

}  // namespace meander
