#pragma once

#include <optional>
#include <string>
#include <vector>

#include <meander/app/run_group.h>
#include <meander/app/statistics.h>

namespace meander {

// What a sweep found for one combination of settings: statistics over its runs of each one's last
// evaluation_return_mean.
struct SweepRow {
  std::string algorithm, environment, label;
  size_t seeds;
  double mean, interquartile_mean;
  std::optional<ConfidenceInterval> mean_interval, interquartile_mean_interval;  // from interval_runs runs on
  std::optional<double> updates_per_second;                            // mean over the runs' means, if they have any
};

// A row a group; runs without an evaluation do not count, groups of such runs have no row.
std::vector<SweepRow> sweep_rows(const std::vector<RunGroup>& groups);

// The rows for people, aligned, and as a csv file.
std::string sweep_table(const std::vector<SweepRow>& rows);
std::string sweep_csv(const std::vector<SweepRow>& rows);

}  // namespace meander
