#include <meander/app/metrics.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <sstream>
#include <string_view>

#include <meander/core/file_bytes.h>
#include <meander/kernels/error.h>
#include <meander/core/nearest.h>

namespace meander {

namespace {

std::vector<std::string_view> cells_of(std::string_view line) {
  std::vector<std::string_view> cells;
  for (size_t comma; (comma = line.find(',')) != line.npos; line.remove_prefix(comma + 1))
    cells.push_back(line.substr(0, comma));
  cells.push_back(line);
  return cells;
}

}  // namespace

Metrics::Metrics(std::string path, std::vector<Renamed> renamed) : path_(std::move(path)), renamed_(std::move(renamed)) {
  std::istringstream in(read_file(path_, UINT64_MAX));
  std::string line;
  if (!std::getline(in, line)) throw Error(path_ + ": cannot read metrics from this file");
  for (const std::string_view name : cells_of(line)) columns_.push_back(name_of_today(std::string(name), renamed_));
  if (columns_.front() != "step") throw Error(path_ + ": not a table of metrics: its first column is not step");
  for (int number = 2; std::getline(in, line) && !in.eof(); ++number) {
    std::vector<double> row;
    for (const std::string_view cell : cells_of(line)) {
      double value = std::numeric_limits<double>::quiet_NaN();
      const char* end = cell.data() + cell.size();
      const auto [stop, error] = std::from_chars(cell.data(), end, value);
      if (!cell.empty() && (error != std::errc() || stop != end))
        throw Error(message(path_, ":", number, ": expected a number, got '", cell, "'"));
      row.push_back(value);
    }
    if (row.size() != columns_.size() || !std::isfinite(row[0]))
      throw Error(message(path_, ":", number, ": expected a step and ", columns_.size() - 1, " more cells"));
    rows_.push_back(std::move(row));
  }
}

std::vector<Metrics::Point> Metrics::values(const std::string& column) const {
  const auto found = std::find(columns_.begin(), columns_.end(), name_of_today(column, renamed_));
  if (found == columns_.end()) {
    const std::string near = nearest_name(column, columns_);
    throw Error(message(path_, ": no column '", column, "'", near.empty() ? "" : "; did you mean " + near + "?"));
  }
  const auto at = static_cast<size_t>(found - columns_.begin());
  std::vector<Point> points;
  for (const std::vector<double>& row : rows_)
    if (std::isfinite(row[at])) points.push_back({static_cast<int64_t>(row[0]), row[at]});
  return points;
}

}  // namespace meander
