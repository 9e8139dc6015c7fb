#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <meander/algos/data_set.h>
#include <meander/app/hdf5_file.h>

namespace meander {

// Files with an array for each episode (robomimic's and Minari's layouts) on their way to the rows of DataSet.

// The names PREFIXnumber among these, by number.
Hdf5File::Names in_order(const Hdf5File::Names& names, const std::string& prefix);

// The words of "a,b".
Hdf5File::Names split(const std::string& list);

// The rows of an array of rows of `width` numbers; width 0: it is set. Throws Error if it is none.
int64_t expect_rows(const Hdf5File& file, const std::string& array, const std::optional<Hdf5File::Shape>& shape,
                    int64_t& width);

// Where the arrays of these names in `group` lie in an observation. Throws Error, with the names that there are, if one
// is absent or holds no rows of numbers.
struct KeyColumns {
  std::vector<int64_t> offsets, widths;
  int64_t width = 0;
};
KeyColumns key_columns(Hdf5File& file, const std::string& group, const Hdf5File::Names& there,
                       const Hdf5File::Names& keys);

// Steps of episodes that lie one after the other in a file, and the rows they become: after a step that ends an episode
// comes a row with the observation that followed, if it is known; else the step's own row is the last, and the step is
// lost.
class EpisodeArrays {
 public:
  // `steps`: of each group. Throws Error if their rows take more memory than may be taken.
  EpisodeArrays(Hdf5File& file, const std::vector<int64_t>& steps, int64_t observations, int64_t actions);

  int64_t first_step(size_t group) const { return first_[group]; }
  // A number of 0 or 1 for each step.
  std::vector<uint8_t> flags(const std::vector<Hdf5Rows>& wanted);

  // In the order of the steps, before `allocate`.
  void add_step(bool ends, bool followed);
  // The arrays at their final size: masks 1 and else 0, with terminal set.
  DataSet& allocate();
  int64_t row(int64_t step) const { return row_[static_cast<size_t>(step)]; }
  // The observation after a step that ended an episode becomes that before it, if it has a row.
  void repeat(int64_t step);
  DataSet take() { return std::move(data_); }

 private:
  void expect_room(unsigned __int128 rows) const;

  Hdf5File& file_;
  DataSet data_;
  std::vector<int64_t> first_, row_;
};

}  // namespace meander
