#pragma once

#include <cstdint>
#include <string>

#include <meander/app/data_options.h>

namespace meander {

// Recorded demonstrations of robomimic's tasks (robomimic_file.h) through our own simulation. Both throw Error with the
// file where it holds none, no states, or states of another size than the task's.

// Puts the simulation to each recorded state, takes the recorded action, and compares with the next recorded state;
// then plays the actions from the first state on. Prints the errors, what they say of the file, and how many of the
// demonstrations succeed. Of the first `count`. Returns the exit status.
int replay_demonstrations(const std::string& path, const DataOptions& options, int64_t count);

// Writes an HDF5 file of what the simulation observes in the recorded states, as robomimic's dataset_states_to_obs.py
// does: next observations are those of the next states, the last after a step; rewards and dones are 1 where the state
// after the action is a success, dones in the last row too. Lift's cube is that of the recorded model, or the middle
// one. Returns what is to be said of it.
std::string observe_demonstrations(const std::string& path, const DataOptions& options, const std::string& out);

// Whether the file has robomimic's layout with states and no observations.
bool holds_states_alone(const std::string& path);

}  // namespace meander
