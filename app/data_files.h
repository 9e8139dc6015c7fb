#pragma once

#include <functional>
#include <span>
#include <string>

#include <meander/algos/data_set.h>

namespace meander {

// Data sets in files. Both kinds hold the same arrays, with the N rows of DataSet: every observation is one, and
// terminals says which are the last of an episode, whose action is nobody's.
//
//     observations [N, S]   actions [N, A]   rewards [N]   masks [N]   terminals [N]
//
// FILE.npz is OGBench's layout: numpy.load reads it, and so does OGBench's own loader. Ours hold float32, and bool for
// terminals; arrays of other names are ignored. Without masks every mask is 1.
// FILE.safetensors holds float32, terminals uint8, and the metadata format = "meander data set" and, where it is known,
// environment; read are tensors of any type, whatever the metadata.
//
// Actions are normalised to [-1, 1] also where the environment's own range is another (Pendulum-v1: 2).

// Throws Error naming `path` unless it ends with .npz or .safetensors.
void expect_data_set_name(const std::string& path);

// Throws Error if no data set can be written to `path`: a wrong name, a file that is there, no folder. To be asked before
// hours of work.
void expect_writable(const std::string& path);

// Rewards and masks of a file that has none, from the simulator's positions in it (array qpos [N, Q]).
struct Relabelling {
  struct Row { float reward, mask; };
  int positions;  // Q; 0: any
  std::function<Row(std::span<const float> positions)> row;
};

// If the last row is not terminal it is made so: nothing follows it, so its action led nowhere that is known.
// Rewards in the file count before those of `relabelling`.
// Throws Error with the path if the file is missing, damaged, not of this layout, or does not pass DataSet::check.
DataSet read_data_set(const std::string& path, const Relabelling* relabelling = nullptr);

// The same for training on `task`: play data get the rewards and masks of a cube task of a fixed goal.
DataSet read_data_of_task(const std::string& path, const std::string& task);

// Writes beside `path` and renames. Throws Error if the name or the data set is wrong, Failure if it cannot be written.
void write_data_set(const std::string& path, const DataSet& data, const std::string& environment = "");

}  // namespace meander
