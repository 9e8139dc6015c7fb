#include <meander/app/metrics.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <string_view>

#include <meander/core/file_bytes.h>
#include <meander/core/text.h>
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

// Far more than any run writes; what is beyond is another file.
constexpr std::ptrdiff_t most_columns = 4096, longest_line = 1 << 20;

class Lines {
 public:
  explicit Lines(std::string_view all) : rest_(all) {}

  // False at the end.
  bool next() {
    if (rest_.empty()) return false;
    const size_t end = rest_.find('\n');
    whole = end != rest_.npos;
    text = rest_.substr(0, end);
    too_long = std::ssize(text) > longest_line;
    rest_.remove_prefix(whole ? end + 1 : rest_.size());
    return true;
  }

  std::string_view text;
  bool whole = false, too_long = false;  // whole: with its end

 private:
  std::string_view rest_;
};

}  // namespace

Metrics::Metrics(std::string path, std::vector<Renamed> renamed)
    : Metrics(FileBytes(path).bytes(), path, std::move(renamed)) {}

Metrics::Metrics(std::span<const std::byte> file, std::string path, std::vector<Renamed> renamed)
    : path_(std::move(path)), renamed_(std::move(renamed)) {
  Lines line({reinterpret_cast<const char*>(file.data()), file.size()});
  if (!line.next()) throw Error(path_ + ": cannot read metrics from this file");
  if (line.too_long || std::ranges::count(line.text, ',') >= most_columns)
    throw Error(message(path_, ": not a table of metrics: its first line has more than ", most_columns, " names or ",
                        longest_line, " bytes"));
  for (const std::string_view name : cells_of(line.text))
    columns_.push_back(name_of_today(std::string(name), renamed_));
  if (columns_.front() != "step") throw Error(path_ + ": not a table of metrics: its first column is not step");
  std::vector<std::string> sorted = columns_;
  std::ranges::sort(sorted);
  if (const auto twice = std::ranges::adjacent_find(sorted); twice != sorted.end())
    throw Error(path_ + ": the column '" + *twice + "' is there twice");
  for (int64_t number = 2; line.next() && (line.whole || line.too_long); ++number) {
    const auto expected = [&] {
      return Error(message(path_, ":", number, ": expected a step and ", columns_.size() - 1, " more cells"));
    };
    if (line.too_long) throw expected();
    const std::vector<std::string_view> row = cells_of(line.text);
    for (const std::string_view cell : row) {
      double value = std::numeric_limits<double>::quiet_NaN();  // a run that went wrong may have it too
      const char* end = cell.data() + cell.size();
      const auto [stop, error] = std::from_chars(cell.data(), end, value);
      if (!cell.empty() && (error != std::errc() || stop != end))
        throw Error(message(path_, ":", number, ": expected a number, got '", cell.substr(0, 40), "'"));
      cells_.push_back(value);
    }
    const std::optional<int64_t> step = parse_whole(row.front());
    if (row.size() != columns_.size() || !step || *step < 0) throw expected();
  }
}

std::vector<Metrics::Point> Metrics::values(const std::string& column) const {
  const auto found = std::find(columns_.begin(), columns_.end(), name_of_today(column, renamed_));
  if (found == columns_.end()) {
    const std::string near = nearest_name(column, columns_);
    throw Error(message(path_, ": no column '", column, "'", near.empty() ? "" : "; did you mean " + near + "?"));
  }
  const auto at = found - columns_.begin();
  std::vector<Point> points;
  for (auto row = cells_.begin(); row != cells_.end(); row += std::ssize(columns_))
    if (std::isfinite(row[at])) points.push_back({static_cast<int64_t>(row[0]), row[at]});
  return points;
}

}  // namespace meander
