#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <meander/app/check_line.h>
#include <meander/core/json.h>
#include <meander/core/safetensors.h>
#include <meander/kernels/error.h>

namespace meander {

using Numbers = std::span<const double>;

// Where bits are compared; elsewhere the first steps are, before rounding has grown through contacts.
#if defined(__x86_64__)
inline constexpr bool same_bits = true;
#else
inline constexpr bool same_bits = false;
#endif
inline constexpr int64_t steps_compared_elsewhere = 5;
inline constexpr double tolerance_elsewhere = 1e-6;

// An episode as the file's metadata describes it.
struct RecordedEpisode {
  std::string prefix;  // "ep0/"
  int64_t steps, hold;
  std::optional<uint32_t> seed;  // of the package's generator, where its reset can be reproduced
};

// The lines of the report, in order of first appearance, each with its largest error so far.
class ReplayReport {
 public:
  // A line's tolerance is that of its first comparison.
  void compare(const std::string& quantity, Numbers got, Numbers expected, double tolerance, const std::string& where) {
    for (size_t i = 0; i < expected.size(); ++i) {
      if (got[i] == expected[i]) continue;
      double error = std::abs(got[i] - expected[i]) / std::max(1.0, std::abs(expected[i]));
      if (std::isnan(error)) error = std::numeric_limits<double>::infinity();
      raise(line(quantity, tolerance), error, message(where, ", entry ", i));
    }
    line(quantity, tolerance);
  }
  void compare(const std::string& quantity, double got, double expected, double tolerance, const std::string& where) {
    compare(quantity, Numbers(&got, 1), Numbers(&expected, 1), tolerance, where);
  }
  std::vector<CheckLine> lines() && { return std::move(lines_); }

 private:
  CheckLine& line(const std::string& quantity, double tolerance) {
    const auto [found, is_new] = index_.try_emplace(quantity, lines_.size());
    if (is_new) lines_.push_back({.quantity = quantity, .error = 0, .tolerance = tolerance, .note = ""});
    return lines_[found->second];
  }
  static void raise(CheckLine& line, double error, const std::string& where) {
    if (error <= line.error) return;
    line.error = error;
    line.note = "at " + where;
  }

  std::vector<CheckLine> lines_;
  std::map<std::string, size_t> index_;
};

// A tensor of the file; throws Error if it is absent, not float64 or of another shape.
inline Numbers recorded_tensor(const SafetensorsFile& file, const std::string& name, const std::vector<int64_t>& shape) {
  const FileTensor& found = file.at(name);
  if (found.shape != shape) {
    throw Error(message(name, ": expected shape ", Json(shape).dump(), ", got ", Json(found.shape).dump()));
  }
  return file.values<double>(name, found.size());
}

// The recorded rows: steps in increasing order.
inline std::vector<int64_t> recorded_rows(const SafetensorsFile& file, const RecordedEpisode& episode) {
  const std::string name = episode.prefix + "rows";
  const Numbers recorded = recorded_tensor(file, name, {file.at(name).size()});
  std::vector<int64_t> rows;
  for (double row : recorded) {
    const int64_t after = rows.empty() ? -1 : rows.back();
    if (!(row > static_cast<double>(after) && row < static_cast<double>(episode.steps) && row == std::floor(row)))
      throw Error(message(name, ": expected increasing whole numbers below ", episode.steps, ", got ", row, " after ",
                          after));
    rows.push_back(static_cast<int64_t>(row));
  }
  return rows;
}

}  // namespace meander
