#include <meander/app/sweep_report.h>

#include <fmt/format.h>

#include <algorithm>

namespace meander {

namespace {

// A number with the digits that are of interest in a return.
std::string number(double value) {
  if (std::abs(value) >= 1e9) return fmt::format("{:.4g}", value);
  return fmt::format("{:.{}f}", value, std::abs(value) < 10 ? 3 : 1);
}

std::string with_interval(double value, const std::optional<ConfidenceInterval>& interval) {
  std::string text = number(value);
  if (interval) text += fmt::format(" [{}, {}]", number(interval->low), number(interval->high));
  return text;
}

}  // namespace

std::vector<SweepRow> sweep_rows(const std::vector<RunGroup>& groups) {
  std::vector<SweepRow> rows;
  for (const RunGroup& group : groups) {
    std::vector<double> returns, speeds;
    for (const Run& run : group.runs) {
      const auto evaluations = run.metrics.values("evaluation_return_mean");
      if (evaluations.empty()) continue;
      returns.push_back(evaluations.back().value);
      std::vector<double> speed;
      for (const Metrics::Point& point : run.metrics.values("updates_per_second")) speed.push_back(point.value);
      if (!speed.empty()) speeds.push_back(mean(speed));
    }
    if (returns.empty()) continue;
    const Run& run = group.runs.front();
    SweepRow row{run.algorithm, run.environment, group.label, returns.size(), mean(returns),
                 interquartile_mean(returns), {}, {}, {}};
    if (returns.size() >= interval_runs) {
      row.mean_interval = bootstrap_interval(returns, mean);
      row.interquartile_mean_interval = bootstrap_interval(returns, interquartile_mean);
    }
    if (!speeds.empty()) row.updates_per_second = mean(speeds);
    rows.push_back(std::move(row));
  }
  return rows;
}

std::string sweep_table(const std::vector<SweepRow>& rows) {
  std::vector<std::vector<std::string>> cells = {{"runs", "seeds", "mean [95 %]", "IQM [95 %]", "updates/s"}};
  for (const SweepRow& row : rows)
    cells.push_back({row.label, fmt::format("{}", row.seeds), with_interval(row.mean, row.mean_interval),
                     with_interval(row.interquartile_mean, row.interquartile_mean_interval),
                     row.updates_per_second ? fmt::format("{:.1f}", *row.updates_per_second) : "-"});
  std::string text;
  for (const auto& line : cells)
    for (size_t i = 0; i < line.size(); ++i) {
      size_t width = 0;
      for (const auto& other : cells) width = std::max(width, other[i].size());
      text += i == 0 ? fmt::format("{:<{}}", line[i], width) : fmt::format("  {:>{}}", line[i], width);
      if (i + 1 == line.size()) text += '\n';
    }
  return text;
}

std::string sweep_csv(const std::vector<SweepRow>& rows) {
  std::string text = "algo,env,runs,seeds,mean,mean_low,mean_high,iqm,iqm_low,iqm_high,updates_per_second\n";
  const auto ends = [](const std::optional<ConfidenceInterval>& interval) {
    return interval ? fmt::format("{},{}", interval->low, interval->high) : ",";
  };
  for (const SweepRow& row : rows)
    text += fmt::format("{},{},{},{},{},{},{},{},{}\n", row.algorithm, row.environment, row.label, row.seeds, row.mean,
                        ends(row.mean_interval), row.interquartile_mean, ends(row.interquartile_mean_interval),
                        row.updates_per_second ? fmt::format("{}", *row.updates_per_second) : "");
  return text;
}

}  // namespace meander
