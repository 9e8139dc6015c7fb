#pragma once

#include <string>
#include <vector>

#include <meander/app/data_files.h>
#include <meander/app/gnuplot.h>

namespace meander {

// Prints what a data set holds: sizes, episodes, returns, the ranges of its numbers, and what is odd in it.
// `with_rewards`: those in it count.
void print_data_set(const std::string& path, const DataFile& file, bool with_rewards);

// The distributions of the episodes' lengths and returns and of each number of the actions.
std::vector<Histogram> distributions(const DataFile& file);

}  // namespace meander
