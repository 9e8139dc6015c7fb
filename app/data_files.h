#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <meander/algos/data_set.h>
#include <meander/app/data_options.h>

namespace meander {

class Hdf5File;

// Data sets in files, FILE.npz, FILE.safetensors or FILE.hdf5 (also .h5), of two layouts; in HDF5 also robomimic's
// (robomimic_file.h) and Minari's (minari_file.h), whose folder may be given instead of its file. OGBench's holds the N
// rows of DataSet: every observation is one, and terminals says which are the last of an episode, whose action is
// nobody's.
//
//     observations [N, S]   actions [N, A]   rewards [N]   masks [N]   terminals [N]
//
// D4RL's holds a row for each step, known by an array timeouts [N] or next_observations [N, S]: terminals says after
// which steps an episode truly ended, timeouts after which it was cut (data_layouts.h). Arrays of other names are
// ignored; without masks every mask is 1, or 0 after D4RL's true ends. If there is valids [N], which OGBench's loader
// makes, it says where episodes end: terminals then marks the row before as well. Read are numbers of any type
// (number_types.h). Written is OGBench's layout, as float32, with terminals as bool (npz) or U8, and where it is known
// the environment: as an array of that name, in the metadata, or as an attribute. Of robomimic's tasks an HDF5 file
// gets robomimic's layout (demonstrations.h).
//
// Actions are normalised to [-1, 1] also where the environment's own range is another (Pendulum-v1: 2).

// Throws Error naming `path` unless it ends with .npz, .safetensors, .hdf5 or .h5.
void expect_data_set_name(const std::string& path);

// Throws Error if no data set can be written to `path`: a wrong name, a file that is there, no folder. To be asked
// before hours of work.
void expect_writable(const std::string& path);

// Rewards and masks of a file that has none, from the simulator's positions in it (array qpos [N, Q]).
struct Relabelling {
  struct Row { float reward, mask; };
  int positions;  // Q; 0: any
  std::function<Row(std::span<const float> positions)> row;
};

struct DataFile {
  DataSet data;
  std::string environment;           // that the file says it is of; or ""
  bool has_rewards = true;           // false: they are those of a relabelling
  std::vector<std::string> remarks;  // what is odd in it, a line each
  std::vector<std::pair<std::string, std::string>> about;  // what else it says of itself: ("demonstrations", "300")
};

// If the last row is not terminal it is made so: nothing follows it, so its action led nowhere that is known. Rewards
// in the file count before those of `relabelling`. Throws Error with the path if the file is missing, damaged, of
// neither layout or of both, takes more memory than may be taken (core/memory_limit.h), or does not pass
// DataSet::check. Nothing is allocated before all sizes are checked.
DataFile read_data_file(const std::string& path, const Relabelling* relabelling = nullptr,
                        const DataOptions& options = {});
// The same of bytes in memory; `name` ends as a path would.
DataFile parse_data_file(std::span<const std::byte> bytes, const std::string& name,
                         const Relabelling* relabelling = nullptr);
// The same of what answers about an HDF5 file say.
DataFile parse_data_file(std::unique_ptr<Hdf5File> file, const Relabelling* relabelling, const DataOptions& options);
inline DataSet read_data_set(const std::string& path, const Relabelling* relabelling = nullptr) {
  return read_data_file(path, relabelling).data;
}

// The same for training on `task`: play data get the rewards and masks of a cube task of a fixed goal. Throws Error too
// if there is no such task, it has other numbers of observations and actions, or the file says it is of another.
DataFile read_data_of_task(const std::string& path, const std::string& task, const DataOptions& options = {});

// Whether a path is that of a data set by its name, or a folder that holds one.
bool is_data_set(const std::string& path);

// Writes beside `path` and renames. Throws Error if the name or the data set is wrong, Failure if it cannot be written.
void write_data_set(const std::string& path, const DataSet& data, const std::string& environment = "");

}  // namespace meander
