#include <meander/app/learning_curves.h>

#include <algorithm>
#include <map>

#include <meander/kernels/error.h>

namespace meander {

namespace {

std::vector<LearningCurve::MeanPoint> mean_over_runs(const std::vector<std::vector<Metrics::Point>>& runs) {
  std::map<int64_t, std::vector<double>> by_step;
  for (const auto& run : runs)
    for (const Metrics::Point& point : run) by_step[point.step].push_back(point.value);
  std::vector<LearningCurve::MeanPoint> points;
  for (const auto& [step, values] : by_step) {
    if (values.size() != runs.size()) continue;
    const double middle = mean(values);
    points.push_back({step, middle, values.size() < interval_runs ? ConfidenceInterval{middle, middle}
                                                                  : bootstrap_interval(values, mean)});
  }
  return points;
}

}  // namespace

std::vector<Panel> learning_curves(const std::vector<RunGroup>& groups, const std::string& column,
                                   std::vector<std::string>& left_out) {
  std::vector<Panel> panels;
  for (const RunGroup& group : groups) {
    LearningCurve curve{group.label, {}, {}};
    for (const Run& run : group.runs) {
      auto points = run.metrics.values(column);
      if (points.empty()) left_out.push_back(run.path);
      else curve.runs.push_back(std::move(points));
    }
    if (curve.runs.empty()) continue;
    curve.mean = mean_over_runs(curve.runs);
    auto panel = std::find_if(panels.begin(), panels.end(),
                              [&](const Panel& other) { return other.title == group.environment; });
    if (panel == panels.end()) panel = panels.insert(panels.end(), {group.environment, {}});
    panel->curves.push_back(std::move(curve));
  }
  if (panels.empty()) throw Error("no run has a value of " + column + " yet");
  return panels;
}

}  // namespace meander
