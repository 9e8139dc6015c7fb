#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <meander/algos/settings.h>

namespace meander {

// The numbers of a run over its steps, as metrics.csv holds them: the column step, then others whose cells are empty
// where a step has nothing new of them.
class Metrics {
 public:
  struct Point {
    int64_t step;
    double value;
  };

  // Reads a file. A last line without its end, as a crash may leave it, is left out. Throws Error with the path, and
  // the line where there is one, if the file cannot be read or is not such a table.
  // Columns have today's names, whatever they were called before.
  explicit Metrics(std::string path, std::vector<Renamed> renamed = {});
  // Reads the bytes of a file that is called `path`.
  Metrics(std::span<const std::byte> file, std::string path, std::vector<Renamed> renamed = {});

  const std::string& path() const { return path_; }
  const std::vector<std::string>& columns() const { return columns_; }
  // The steps at which a column has a finite value. Throws Error with the nearest name if there is no such column.
  std::vector<Point> values(const std::string& column) const;

 private:
  std::string path_;
  std::vector<Renamed> renamed_;
  std::vector<std::string> columns_;
  std::vector<double> cells_;  // a row after the other; NaN: an empty cell
};

}  // namespace meander
