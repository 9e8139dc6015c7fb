#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <meander/app/learning_curves.h>
#include <meander/app/output_place.h>

namespace meander {

// Draws the panels to a file, through gnuplot; the file appears whole or not at all. Throws Error if the name of the
// file ends in neither .png nor .svg, Failure if gnuplot is missing or fails or the file cannot be written.
void draw(const std::vector<Panel>& panels, const std::string& column, const OutputPlace& place);

// How often a quantity took which values: counts of bins of one width from low to high.
struct Histogram {
  std::string title;
  double low = 0, high = 1;
  std::vector<int64_t> counts;
};
Histogram histogram(std::string title, const std::vector<double>& values);  // of finite values; 40 bins, or one
void draw(const std::vector<Histogram>& histograms, const OutputPlace& place);  // as above

// "png" or "svg", by the end of a file's name; throws Error if it is neither.
std::string picture_format(const std::string& path);

// What gnuplot is told; it writes the picture to its standard output.
std::string gnuplot_script(const std::vector<Panel>& panels, const std::string& column, const std::string& format);
std::string gnuplot_script(const std::vector<Histogram>& histograms, const std::string& format);

}  // namespace meander
