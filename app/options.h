#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

namespace meander {

// What all options of the command have in common.

// A number of an option, `low` to `high`, whole or not; read, and refused in the same words, as those of settings are
// (algos/settings.h), and a list of them, 1,8,32.
CLI::Option* add_number(CLI::App& verb, const std::string& name, int64_t& number, int64_t low, int64_t high,
                        const std::string& meaning);
CLI::Option* add_number(CLI::App& verb, const std::string& name, double& number, double low, double high,
                        const std::string& meaning);
CLI::Option* add_numbers(CLI::App& verb, const std::string& name, std::vector<int64_t>& numbers, int64_t low,
                         int64_t high, const std::string& meaning);

// The words after the program's name, the last first, as CLI11 wants them: with ./ before a file name like [a], which
// it would take for a list.
std::vector<std::string> words_of(int argc, char** argv);

// Throws Error if a word of the command line is not UTF-8: no checkpoint and no configuration could hold it.
void expect_utf8(int argc, char** argv);
// Throws Error if an option has an empty value, or the next option for one: --resume "$NAME" --quiet, and the same
// without quotes, where NAME is not set.
void expect_values(const CLI::App& verb);

}  // namespace meander
