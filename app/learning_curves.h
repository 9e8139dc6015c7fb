#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <meander/app/run_group.h>
#include <meander/app/statistics.h>

namespace meander {

// The runs of one group over their steps, and their mean.
struct LearningCurve {
  struct MeanPoint {
    int64_t step;
    double mean;
    ConfidenceInterval interval;  // 95 %, bootstrap, of the mean; of fewer than interval_runs runs both ends are the mean
  };
  std::string label;
  std::vector<std::vector<Metrics::Point>> runs;
  std::vector<MeanPoint> mean;  // at the steps at which every run has a value

  bool has_interval() const { return runs.size() >= interval_runs && !mean.empty(); }
};

// The curves of one environment.
struct Panel {
  std::string title;
  std::vector<LearningCurve> curves;
};

// A panel an environment, in the order of the groups. Runs without any value of the column are left out; `left_out`
// gets their paths. Throws Error if a run does not have this column, or no run has a value of it.
std::vector<Panel> learning_curves(const std::vector<RunGroup>& groups, const std::string& column,
                                   std::vector<std::string>& left_out);

}  // namespace meander
