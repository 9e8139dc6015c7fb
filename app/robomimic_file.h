#pragma once

#include <string>
#include <utility>
#include <vector>

#include <meander/app/data_files.h>
#include <meander/app/hdf5_file.h>

namespace meander {

// Data sets in robomimic's layout (robomimic's scripts/dataset_states_to_obs.py): groups data/demo_K with actions
// [N, A], rewards [N], dones [N], states [N, 1 + nq + nv], and groups obs and next_obs of arrays [N, n], a key each.

// The demonstrations of a file, and what its attribute env_args says.
struct RobomimicDemos {
  std::vector<std::string> groups;  // "data/demo_0", by number
  std::vector<int64_t> steps;       // N of each
  int64_t actions = 0;              // A
  std::string environment;          // "robomimic-lift"; robosuite's name if it is no task of ours; "" if it is not said
  std::string version;              // of robosuite; ""
  std::string frame;                // of the actions: "world" or "base"; ""
};

bool has_robomimic_layout(const Hdf5File::Names& root);

// Throws Error with the file where it is damaged, of another version of robosuite than 1.0 to 1.5, or of absolute
// actions, or where there is no such filter. Adds to remarks and about.
RobomimicDemos robomimic_demos(Hdf5File& file, const DataOptions& options, DataFile& result);

// The rows of DataSet, as Q-chunking has them (envs/robomimic_utils.py, get_dataset): observations are the keys
// robot0_eef_pos, robot0_eef_quat, robot0_gripper_qpos and object, or those of the options; rewards are one less, masks
// are 1 - dones; an episode ends after every row with dones 1, its last row is that of next_obs. Columns in the order
// of robosuite 1.4 are brought into that of 1.5. Throws Error too where the arrays' sizes don't agree, or the columns
// are in no order that is known.
DataFile read_robomimic(Hdf5File& file, const DataOptions& options);

}  // namespace meander
