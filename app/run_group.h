#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <meander/app/metrics.h>
#include <meander/app/run_config.h>

namespace meander {

// The resolved settings that decide what a run computes, by name: without the seed, and without those that change only
// how far and how fast it goes (steps, threads, overlap).
using DecidingSettings = std::vector<std::pair<std::string, std::string>>;
DecidingSettings deciding_settings(RunConfig& config);

// What sets two runs apart, the seed included and the device not, since a run may go on on another one; the first such thing, with its value in each of them.
struct Difference {
  std::string what, first, second;
};
std::optional<Difference> difference(RunConfig& first, RunConfig& second);

// A run read back: its folder, or a file of metrics alone.
struct Run {
  std::string path;
  std::string algorithm, environment;
  std::string variant;        // of a file: what its name says beyond algorithm and environment
  DecidingSettings settings;  // of a folder
  int64_t seed;               // of a file -1 if its name has none
  Metrics metrics;
};

// Reads a run folder, or a file of metrics called ALGO-ENV[-VARIANT][-sSEED].csv. If the name is not of this form (the
// environment ends in -vN) the whole of it takes the place of all three. Throws Error if it is neither.
Run read_run(const std::string& path);

// A folder of run folders as these, sorted; any other path as it is.
std::vector<std::string> run_paths(const std::string& path);

// Runs that differ by the seed only, in its order.
struct RunGroup {
  std::string environment;
  std::string label;  // what sets it apart: "mfpo", "alpha=0.05", "mfpo alpha=0.05"
  std::vector<Run> runs;
};

// Groups runs, in the order of their first ones. The label of a group names the algorithm if the groups have several,
// and those settings that differ among the groups of its algorithm and environment. Throws Error if two runs of a group
// have one seed.
std::vector<RunGroup> group_runs(std::vector<Run> runs);

}  // namespace meander
