#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include <meander/app/data_report.h>
#include <meander/app/gnuplot.h>
#include <meander/app/output.h>
#include <meander/app/output_place.h>
#include <meander/app/verbs.h>

namespace meander {

namespace {

// A file of what its name says; a folder may be that of a run.
bool is_data_file(const std::string& path) {
  for (const char* ending : {".npz", ".safetensors", ".hdf5", ".h5"})
    if (path.ends_with(ending)) return true;
  return std::filesystem::is_directory(path) && is_data_set(path);
}

}  // namespace

int plot(const PlotOptions& options) {
  const bool of_data = std::any_of(options.runs.begin(), options.runs.end(), is_data_file);
  const std::string out = !options.out.empty() ? options.out : of_data ? "distributions.png" : "curves.png";
  picture_format(out);  // before anything is read
  const OutputPlace place(out);
  if (of_data) {
    if (options.runs.size() > 1) throw Error("plot draws one data set, or runs: give it alone");
    const Relabelling none{0, [](auto) { return Relabelling::Row{0, 1}; }};
    draw(distributions(read_data_file(options.runs[0], &none, options.data)), place);
    print("wrote {}\n", out);
    return 0;
  }
  std::vector<Run> runs;
  for (const std::string& given : options.runs)
    for (const std::string& path : run_paths(given)) runs.push_back(read_run(path));
  std::vector<std::string> left_out;
  const std::vector<Panel> panels = learning_curves(group_runs(std::move(runs)), options.column, left_out);
  for (const std::string& path : left_out) warn("{}: no value of {} yet\n", path, options.column);
  draw(panels, options.column, place);
  print("wrote {}\n", out);
  return 0;
}

}  // namespace meander
