#pragma once

#include <string>
#include <vector>

#include <meander/app/learning_curves.h>
#include <meander/app/output_place.h>

namespace meander {

// Draws the panels to a file, through gnuplot; the file appears whole or not at all. Throws Error if the name of the
// file ends in neither .png nor .svg, Failure if gnuplot is missing or fails or the file cannot be written.
void draw(const std::vector<Panel>& panels, const std::string& column, const OutputPlace& place);

// "png" or "svg", by the end of a file's name; throws Error if it is neither.
std::string picture_format(const std::string& path);

// What gnuplot is told; it writes the picture to its standard output.
std::string gnuplot_script(const std::vector<Panel>& panels, const std::string& column, const std::string& format);

}  // namespace meander
