#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <meander/algos/data_set.h>
#include <meander/app/hdf5_file.h>

namespace meander {

// One demonstration of a robomimic task of N steps, as the environment observed it.
struct Demonstration {
  std::vector<double> observations;  // [N + 1, S]: before each action, and after the last
  std::vector<double> actions;       // [N, 7], in [-1, 1]
  std::vector<double> rewards;       // [N]: as robomimic has them, 1 if the state after the action is a success, else 0
  std::vector<uint8_t> dones;        // [N]: the same; the last is written as 1 whatever it is, as robomimic does
  std::vector<double> states;        // [N, 1 + nq + nv]: time, positions, velocities before each action; or empty
  std::string model_file;            // the simulated model's XML, as far as a reader may need it; or empty
};

// An HDF5 file in robomimic's layout (robomimic_file.h), with all that its own tools ask for: next_obs, num_samples,
// total, env_args and the filter mask/train, which lists all.
class DemonstrationWriter {
 public:
  // A new file; `environment`: robomimic-lift, -can or -square. Throws Error if it is none of these, Failure if nothing
  // can be written there.
  DemonstrationWriter(const std::string& path, const std::string& environment);
  // Throws Error unless its sizes agree and it has a step.
  void add(const Demonstration& demonstration);
  void finish();  // the file is whole; without it there is none

 private:
  Hdf5Writer file_;
  std::string environment_;
  int64_t size_;  // S
  std::vector<std::string> names_;
  int64_t total_ = 0;
};

// All at once.
void write_demonstrations(const std::string& path, const std::string& environment,
                          const std::vector<Demonstration>& demonstrations);

// The episodes of a data set as demonstrations; rewards are one more than in DataSet.
void write_demonstrations(const std::string& path, const std::string& environment, const DataSet& data);

}  // namespace meander
