#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include <meander/app/data_files.h>
#include <meander/app/data_report.h>
#include <meander/app/metrics.h>
#include <meander/app/output.h>
#include <meander/app/replay_demonstrations.h>
#include <meander/app/run_recorder.h>
#include <meander/app/verbs.h>
#include <meander/core/json.h>
#include <meander/core/safetensors.h>
#include <meander/envs/environments.h>
#include <meander/kernels/error.h>

namespace meander {

namespace {

namespace fs = std::filesystem;

std::string size_text(uintmax_t bytes) {
  if (bytes < 1000) return fmt::format("{} B", bytes);
  if (bytes < 1'000'000) return fmt::format("{:.1f} kB", bytes / 1e3);
  if (bytes < 1'000'000'000) return fmt::format("{:.1f} MB", bytes / 1e6);
  return fmt::format("{:.2f} GB", bytes / 1e9);
}

// The last value of each column, and the best evaluation.
void print_metrics(const Metrics& metrics) {
  print("\nMetrics: the last of each\n");
  for (const std::string& column : metrics.columns()) {
    const auto points = metrics.values(column);
    if (points.empty()) continue;
    const bool timeless = column == "step" || column == "wall_seconds";
    print("  {:<24} {:>14}{}\n", column, fmt::format("{:.6g}", points.back().value),
               timeless ? "" : fmt::format("  at step {}", points.back().step));
  }
  const auto evaluations = metrics.values("evaluation_return_mean");
  const auto best = std::max_element(evaluations.begin(), evaluations.end(),
                                     [](const auto& a, const auto& b) { return a.value < b.value; });
  if (best != evaluations.end())
    print("  {:<24} {:>14.6g}  at step {}\n", "best evaluation", best->value, best->step);
}

// Tensors by the first part of their name.
void print_tensors(const SafetensorsFile& file) {
  struct Group {
    int tensors = 0;
    int64_t numbers = 0;
    std::set<std::string> types;
  };
  std::map<std::string, Group> groups;
  for (const HeaderTensor& tensor : file.header().tensors) {
    Group& group = groups[tensor.name.substr(0, tensor.name.find_first_of("./"))];
    ++group.tensors;
    group.numbers += static_cast<int64_t>(tensor.end - tensor.begin) / tensor.dtype->bytes;
    group.types.insert(tensor.dtype->name);
  }
  for (const auto& [name, group] : groups)
    print("  {:<24} {:>14} numbers in {} tensor{} ({})\n", name, count_text(group.numbers), group.tensors,
               group.tensors == 1 ? "" : "s", fmt::format("{}", fmt::join(group.types, ", ")));
}

bool holds_data_set(const SafetensorsFile& file) {
  const auto& tensors = file.header().tensors;
  return std::any_of(tensors.begin(), tensors.end(), [](const auto& tensor) { return tensor.name == "observations"; });
}

// A data set, or what else a file of tensors holds: a checkpoint, a recording.
int info_file(const std::string& path, const InfoOptions& options) {
  const std::string& task = options.environment;
  if (path.ends_with(".safetensors")) {
    const SafetensorsFile file(path);
    if (!holds_data_set(file)) {
      if (!task.empty()) throw Error(path + ": --env goes with a data set, which this is not");
      print("{}: {} tensors, no data set\n\n", path, count_text(std::ssize(file.header().tensors)));
      print_tensors(file);
      return 0;
    }
  }
  if (options.replay > 0) return replay_demonstrations(path, options.data, options.replay);
  const Relabelling none{0, [](auto) { return Relabelling::Row{0, 1}; }};
  const DataFile file =
      task.empty() ? read_data_file(path, &none, options.data) : read_data_of_task(path, task, options.data);
  print_data_set(path, file, file.has_rewards || !task.empty());
  return 0;
}

}  // namespace

int info(const InfoOptions& options) {
  const std::string &what = options.what, &task = options.environment;
  if (!task.empty()) environment_info(task);  // throws where there is none of the name
  if (fs::exists(what) && is_data_set(what)) return info_file(what, options);
  const std::string& folder = what;
  if (!fs::is_directory(folder)) throw Error(folder + ": no such run folder or data set");
  if (!task.empty()) throw Error("--env goes with a data set; " + folder + " is a run folder: leave it out");
  const ConfigText text = read_config_text(folder + "/" + run_file::config);
  RunConfig config = resolve("", "", &text, {});
  print("{} on {}, seed {}, {} steps\n", config.algorithm_settings->title(), config.environment,
             config.training.seed, count_text(config.training.steps));
  if (!config.machine.empty()) print("on {}\n", config.machine);

  print("\nFiles\n");
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files)
    if (fs::is_regular_file(file))
      print("  {:<40} {:>10}\n", file.filename().string(), size_text(fs::file_size(file)));

  if (fs::exists(folder + "/" + run_file::metrics))
    print_metrics(Metrics(folder + "/" + run_file::metrics, config.algorithm_settings->renamed()));
  for (const char* name : {run_file::last, run_file::best, run_file::last_good}) {
    const std::string path = folder + "/" + name;
    if (!fs::exists(path)) continue;
    const SafetensorsFile file(path);
    print("\n{}: after step {}\n", name, file.metadata("step"));
    print_tensors(file);
  }
  return 0;
}

}  // namespace meander
