#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <meander/algos/data_set.h>
#include <meander/app/array_file.h>

namespace meander {

// Where the episodes of a file with a row for each step (D4RL's layout) end, and what of the file tells what followed.
struct StepRows {
  std::vector<uint8_t> ended;      // [N]: the step led to a true end (terminals)
  std::vector<uint8_t> timed_out;  // [N]: the episode was cut after the step (timeouts); empty: the file has none
  bool has_successors = false;     // next_observations
};

// What becomes of each of the N steps.
struct StepPlan {
  std::vector<uint8_t> ends;       // [N]: the last row of an episode, or the one before an inserted row
  std::vector<uint8_t> insert;     // [N]: a row is inserted after it
  int64_t inserted = 0;
  bool has_successors = false;
  std::vector<float> successors;   // of the rows with `insert`, in turn, where they are few enough to be kept
};

// After the last step of an episode comes a row with the observation that followed, from next_observations; without
// these the state is repeated after a true end, beyond which no value counts, and a step that was cut is dropped: its
// row becomes the episode's last. `observations`: [N, size]. Adds to `remarks` what a reader of the data should know.
StepPlan plan_step_rows(const ArrayFile& file, const StepRows& steps, const std::vector<float>& observations,
                        std::vector<std::string>& remarks);

// Brings `data`, whose arrays hold a row for each step and whose terminal is empty, to the rows of DataSet. With room
// for `inserted` more rows in them nothing is copied.
void spread_step_rows(const ArrayFile& file, const StepPlan& plan, DataSet& data);

}  // namespace meander
