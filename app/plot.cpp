#include <fmt/format.h>

#include <meander/app/gnuplot.h>
#include <meander/app/output.h>
#include <meander/app/output_place.h>
#include <meander/app/verbs.h>

namespace meander {

int plot(const PlotOptions& options) {
  picture_format(options.out);  // before anything is read
  const OutputPlace place(options.out);
  std::vector<Run> runs;
  for (const std::string& given : options.runs)
    for (const std::string& path : run_paths(given)) runs.push_back(read_run(path));
  std::vector<std::string> left_out;
  const std::vector<Panel> panels = learning_curves(group_runs(std::move(runs)), options.column, left_out);
  for (const std::string& path : left_out) warn("{}: no value of {} yet\n", path, options.column);
  draw(panels, options.column, place);
  print("wrote {}\n", options.out);
  return 0;
}

}  // namespace meander
