#pragma once

// Numbers that come out of files, each held against what it will be used for before it is.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <meander/core/safetensors.h>

namespace meander {

// `value` as a whole number; `what` is the file and the number's name there. Throws Error saying what was expected and
// what came if it is none, or not from `low` to `high` (at most 2^53, so that a double can be each of them).
int64_t whole_number(const std::string& what, double value, int64_t low, int64_t high);
int64_t whole_number(const std::string& what, std::string_view text, int64_t low, int64_t high);
// Likewise a finite number from `low` to `high`.
double real_number(const std::string& what, double value, double low, double high);
double real_number(const std::string& what, std::string_view text, double low, double high);

// Throws Error naming the first that is NaN, infinite or below `least`.
void expect_finite(const std::string& what, std::span<const float> values, double least = -1e300);
void expect_finite(const std::string& what, std::span<const double> values, double least = -1e300);
// Throws Error naming the first that is not from -most to most.
void expect_within(const std::string& what, std::span<const float> values, float most);

// A whole number of the metadata. Throws Error if it is absent, too.
int64_t whole_metadata(const SafetensorsFile& file, const std::string& key, int64_t low, int64_t high);
double real_metadata(const SafetensorsFile& file, const std::string& key, double low, double high);

}  // namespace meander
