#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <meander/app/run_config.h>

namespace meander {

// A setting and the values it takes in a sweep.
struct GridAxis {
  std::string key;
  std::vector<std::string> values;
};

// Splits "key=a,b,c". Throws Error if it is not of that form, a value is empty or given twice, or the key is one that a
// sweep sets by itself (seed, steps, threads, overlap).
GridAxis parse_grid_axis(const std::string& text);

// "0..4" or "0,1,7". Throws Error if it is neither or names a seed twice.
std::vector<int64_t> parse_seeds(const std::string& text);

// One run of a sweep.
struct GridRun {
  std::string name;                     // "alpha=0.05,s3": the settings that vary, and the seed; a safe file name
  std::vector<Assignment> assignments;  // of the settings
  int64_t seed = 0;
};

// The product of all axes, times the seeds; the seed varies first, then the last axis. Throws Error if two axes have
// one key, or there are more than 10,000 runs.
std::vector<GridRun> grid_runs(const std::vector<GridAxis>& axes, const std::vector<int64_t>& seeds);

}  // namespace meander
