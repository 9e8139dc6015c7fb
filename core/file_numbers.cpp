#include <meander/core/file_numbers.h>

#include <charconv>
#include <cmath>
#include <optional>

#include <meander/core/json.h>
#include <meander/kernels/error.h>

namespace meander {

namespace {

template <class T>
std::optional<T> parsed(std::string_view text) {
  T value;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

template <class Got>
[[noreturn]] void refuse(const std::string& what, const char* kind, double low, double high, const Got& got) {
  if (low == high) throw Error(message(what, ": expected ", low, ", got ", got));
  throw Error(message(what, ": expected ", kind, " from ", low, " to ", high, ", got ", got));
}

template <class T>
void expect_finite_of(const std::string& what, std::span<const T> values, double least) {
  for (size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(values[i]) || !(values[i] >= least))
      throw Error(message(what, ": number ", i, " is ", values[i], ", expected a finite one",
                          least > -1e300 ? message(" from ", least, " on") : ""));
}

}  // namespace

int64_t whole_number(const std::string& what, double value, int64_t low, int64_t high) {
  const double least = static_cast<double>(low), most = static_cast<double>(high);
  if (!(value >= least && value <= most) || value != std::floor(value))
    refuse(what, "a whole number", least, most, value);
  return static_cast<int64_t>(value);
}

int64_t whole_number(const std::string& what, std::string_view text, int64_t low, int64_t high) {
  const auto value = parsed<int64_t>(text);
  if (!value || *value < low || *value > high)
    refuse(what, "a whole number", static_cast<double>(low), static_cast<double>(high), quoted(std::string(text)));
  return *value;
}

double real_number(const std::string& what, double value, double low, double high) {
  if (!(value >= low && value <= high)) refuse(what, "a number", low, high, value);
  return value;
}

double real_number(const std::string& what, std::string_view text, double low, double high) {
  const auto value = parsed<double>(text);
  if (!value || !(*value >= low && *value <= high)) refuse(what, "a number", low, high, quoted(std::string(text)));
  return *value;
}

void expect_finite(const std::string& what, std::span<const float> values, double least) {
  expect_finite_of(what, values, least);
}
void expect_finite(const std::string& what, std::span<const double> values, double least) {
  expect_finite_of(what, values, least);
}

void expect_within(const std::string& what, std::span<const float> values, float most) {
  for (size_t i = 0; i < values.size(); ++i)
    if (!(std::fabs(values[i]) <= most))
      throw Error(message(what, ": number ", i, " is ", values[i], ", expected one from ", -most, " to ", most));
}

int64_t whole_metadata(const SafetensorsFile& file, const std::string& key, int64_t low, int64_t high) {
  return whole_number(file.path() + ": metadata " + key, file.metadata(key), low, high);
}

double real_metadata(const SafetensorsFile& file, const std::string& key, double low, double high) {
  return real_number(file.path() + ": metadata " + key, file.metadata(key), low, high);
}

}  // namespace meander
