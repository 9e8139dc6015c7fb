#include <meander/app/data_files.h>

#include <algorithm>
#include <climits>
#include <cmath>
#include <filesystem>
#include <optional>
#include <utility>

#include <meander/app/array_file.h>
#include <meander/app/data_layouts.h>
#include <meander/app/demonstrations.h>
#include <meander/app/hdf5_file.h>
#include <meander/app/minari_file.h>
#include <meander/app/output_place.h>
#include <meander/app/robomimic_file.h>
#include <meander/core/json.h>
#include <meander/core/memory_limit.h>
#include <meander/core/safetensors.h>
#include <meander/envs/cube_play.h>
#include <meander/envs/environments.h>
#include <meander/envs/ogbench_cube.h>
#include <meander/kernels/error.h>

namespace meander {

namespace {

bool is_npz(const std::string& path) { return path.ends_with(".npz"); }
bool is_hdf5(const std::string& path) { return path.ends_with(".hdf5") || path.ends_with(".h5"); }

// Minari's data sets are folders with one file of a fixed name.
std::string file_of(const std::string& path) {
  namespace fs = std::filesystem;
  if (fs::is_directory(path))
    for (const char* name : {"main_data.hdf5", "data/main_data.hdf5"})
      if (const fs::path file = fs::path(path) / name; fs::exists(file)) return file.string();
  return path;
}

// A file's arrays, checked against each other before any number is read.
class Reader {
 public:
  Reader(const std::string& path, const ArrayFile& file, const Relabelling* relabelling)
      : path_(path), file_(file), relabelling_(relabelling) {
    size_ = need("observations", 2).at(1);
    actions_ = need("actions", 2).at(1);
    need("terminals", 1);
    const bool by_steps = has("timeouts", 1) || has("next_observations", 2);
    has_masks_ = has("masks", 1);
    if (by_steps && has_masks_ && !has("next_observations", 2))
      fail("has masks, of OGBench's layout, and timeouts, of D4RL's: leave out timeouts if the last observation of ",
           "every episode is a row of its own, else masks");
    has_rewards_ = has("rewards", 1);
    if (!has_rewards_) expect_positions();
    else if (relabelling_ && has("qpos", 2)) expect_positions();
    if (const auto next = shape("next_observations", 2); next && next->at(1) != size_)
      fail("next_observations have ", next->at(1), " numbers in a row, observations ", size_);
    by_steps_ = by_steps;

    // In whole numbers of 128 bits nothing overflows: dimensions are below 2^63.
    using Wide = unsigned __int128;
    const Wide numbers = static_cast<Wide>(rows_) * (static_cast<Wide>(size_) * (by_steps ? 2 : 1) + actions_ + 4);
    expect_memory(path_ + ": the data set",
                  static_cast<uint64_t>(std::min<Wide>(numbers * sizeof(float), UINT64_MAX)));
    if (size_ > INT_MAX || actions_ > INT_MAX) fail("rows of more than ", INT_MAX, " numbers");
  }

  DataFile read() {
    DataFile result;
    result.environment = file_.environment();
    result.has_rewards = has_rewards_;
    DataSet& data = result.data;
    data.observations = static_cast<int>(size_);
    data.actions = static_cast<int>(actions_);
    if (rows_ == 0) return result;

    std::vector<uint8_t> ends = flags("terminals");
    StepPlan plan;
    std::vector<uint8_t> ended;  // D4RL's
    if (by_steps_) {
      ended = std::move(ends);
      StepRows steps{ended, {}, has("next_observations", 2)};
      if (has("timeouts", 1)) steps.timed_out = flags("timeouts");
      // Room for a row more after each end that is said, and for some that are not.
      const auto count = [](const std::vector<uint8_t>& flags) { return std::count(flags.begin(), flags.end(), 1); };
      const int64_t more = count(steps.ended) + count(steps.timed_out) + rows_ / 64 + 1;
      data.observation = read_floats(file_, "observations", (rows_ + more) * size_);
      plan = plan_step_rows(file_, steps, data.observation, result.remarks);
    } else {
      data.observation = read_floats(file_, "observations", rows_ * size_);
      if (has("valids", 1)) {
        ends = flags("valids");
        for (uint8_t& flag : ends) flag = !flag;
      }
    }
    const int64_t room = rows_ + plan.inserted;
    data.action = read_floats(file_, "actions", room * actions_);
    if (has_masks_) data.mask = read_floats(file_, "masks", room);
    if (has_rewards_) data.reward = read_floats(file_, "rewards", room);
    else relabel(data);
    if (data.mask.empty()) {
      data.mask.assign(static_cast<size_t>(rows_), 1.0f);
      for (int64_t i = 0; i < std::ssize(ended); ++i) data.mask[i] = ended[i] ? 0.0f : 1.0f;
    }
    if (by_steps_) {
      spread_step_rows(file_, plan, data);
    } else {
      data.terminal = std::move(ends);
      data.terminal.back() = 1;
    }
    return result;
  }

 private:
  template <class... Parts>
  [[noreturn]] void fail(const Parts&... parts) const { throw Error(message(path_, ": ", parts...)); }

  // The shape of an array, if it is there, whose rows must be as many as all have.
  std::optional<std::vector<int64_t>> shape(const std::string& name, size_t dimensions) {
    const auto shape = file_.shape(name);
    if (!shape) return shape;
    if (rows_ < 0 && !shape->empty()) rows_ = shape->at(0);
    if (shape->size() != dimensions || shape->at(0) != rows_ || (dimensions == 2 && shape->at(1) < 1))
      fail(name, " has shape ", shape_text(*shape), ", expected ",
           rows_ < 0 ? "rows of numbers" : message(rows_, dimensions == 2 ? " rows" : " numbers"));
    return shape;
  }
  bool has(const std::string& name, size_t dimensions) { return shape(name, dimensions).has_value(); }
  std::vector<int64_t> need(const std::string& name, size_t dimensions) {
    auto found = shape(name, dimensions);
    if (!found) fail("no array ", name, ": not a data set");
    return *found;
  }
  // That there are the positions from which rewards are computed.
  void expect_positions() {
    const auto positions = shape("qpos", 2);
    if (!relabelling_ || !positions)
      fail("no array rewards: play data have none before a task is chosen; ",
           relabelling_ ? "with an array qpos they would be computed from that"
                        : "train on a task of a fixed goal, such as cube-single-play-singletask-task1-v0");
    positions_ = positions->at(1);
    if (relabelling_->positions > 0 && positions_ != relabelling_->positions)
      fail("qpos has ", positions_, " numbers in a row, this task has ", relabelling_->positions);
  }

  // Numbers that are 0 or 1.
  std::vector<uint8_t> flags(const std::string& name) const {
    std::vector<uint8_t> values;
    values.reserve(static_cast<size_t>(rows_));
    std::optional<std::pair<float, size_t>> wrong;
    file_.read(name, [&](std::span<const float> piece) {
      for (const float x : piece) {
        if (x != 0 && x != 1 && !wrong) wrong.emplace(x, values.size());
        values.push_back(x == 1);
      }
    });
    if (wrong) fail(name, " holds ", wrong->first, " in row ", wrong->second, ", expected 0 or 1");
    return values;
  }
  void relabel(DataSet& data) const {
    std::vector<float> row;
    data.mask.clear();
    file_.read("qpos", [&](std::span<const float> piece) {
      for (const float x : piece) {
        row.push_back(x);
        if (std::ssize(row) < positions_) continue;
        const auto [reward, mask] = relabelling_->row(row);
        data.reward.push_back(reward);
        data.mask.push_back(mask);
        row.clear();
      }
    });
  }

  const std::string& path_;
  const ArrayFile& file_;
  const Relabelling* relabelling_;
  int64_t rows_ = -1;  // of the first array, and so of all
  int64_t size_ = 0, actions_ = 0, positions_ = 0;
  bool by_steps_ = false, has_masks_ = false, has_rewards_ = false;
};

// The first `episodes` of them.
void keep_episodes(DataSet& data, int64_t episodes) {
  int64_t rows = 0;
  while (rows < data.rows() && episodes > 0) episodes -= data.terminal[rows++];
  data.terminal.resize(static_cast<size_t>(rows));
  data.reward.resize(data.terminal.size());
  data.mask.resize(data.terminal.size());
  data.observation.resize(data.terminal.size() * static_cast<size_t>(data.observations));
  data.action.resize(data.terminal.size() * static_cast<size_t>(data.actions));
}

// What every data set is held against, whatever its layout.
void check(const std::string& path, DataFile& file, const DataOptions& options) {
  DataSet& data = file.data;
  // A nobody's action may be anything, also what is no number.
  for (int64_t i = 0; i < std::ssize(data.action); ++i)
    if (data.terminal[i / data.actions] && std::isnan(data.action[i])) data.action[i] = 0;
    else if (data.terminal[i / data.actions]) data.action[i] = std::clamp(data.action[i], -1.0f, 1.0f);
  data.check(path);
  for (const float& x : data.mask)
    if (x != 0 && x != 1)
      throw Error(message(path, ": masks holds ", x, " in row ", &x - data.mask.data(), ", expected 0 or 1"));
  // A simulator clips actions: one that rounding took out of the range did what the nearest inside does.
  const auto beyond = [](float x) { return std::fabs(x) > largest_action; };
  const auto first = std::find_if(data.action.begin(), data.action.end(), beyond);
  const auto count = std::count_if(first, data.action.end(), beyond);
  if (count > 0 && !options.clip_actions)
    throw Error(message(path, ": actions holds ", *first, " in row ", (first - data.action.begin()) / data.actions,
                        "; actions must be normalised to [-1, 1] (", count, " of ", data.action.size(),
                        " numbers are not: --clip-actions clips them)"));
  if (count > 0)
    file.remarks.push_back(message(count, " of ", data.action.size(), " numbers of actions were clipped to [-1, 1]"));
  for (float& x : data.action) x = std::clamp(x, -1.0f, 1.0f);
}

DataFile read(const std::string& path, const ArrayFile& file, const Relabelling* relabelling,
              const DataOptions& options) {
  if (!options.filter.empty()) throw Error(path + ": --filter goes with robomimic's layout, of which it is not");
  if (!options.observation_keys.empty())
    throw Error(path + ": --observation-keys goes with robomimic's and Minari's layouts, of which it is not");
  DataFile result = Reader(path, file, relabelling).read();
  if (options.episodes > 0) keep_episodes(result.data, options.episodes);
  check(path, result, options);
  return result;
}

// Whether what was recorded in an environment is data of a task.
bool is_data_of(const std::string& recorded, const std::string& task) {
  if (recorded == task) return true;
  const auto play = play_data_cubes(recorded);
  const auto cubes = fixed_cube_task(task);
  if (play && cubes) return CubeTask(*play, 1).positions() == cubes->positions();
  const auto known = environment_names();
  return std::find(known.begin(), known.end(), recorded) != known.end() &&
         environment_info(recorded).name == environment_info(task).name;
}

// Hands over every array of a data set, in the order in which a file shows them.
template <class Floats, class Flags>
void for_each_array(const DataSet& data, Floats&& floats, Flags&& flags) {
  const int64_t rows = data.rows();
  floats("observations", std::vector<int64_t>{rows, data.observations}, data.observation.data());
  floats("actions", std::vector<int64_t>{rows, data.actions}, data.action.data());
  floats("rewards", std::vector<int64_t>{rows}, data.reward.data());
  floats("masks", std::vector<int64_t>{rows}, data.mask.data());
  flags("terminals", std::vector<int64_t>{rows}, data.terminal.data());
}

void write_arrays(const std::string& path, const DataSet& data, const std::string& environment) {
  Hdf5Writer file(path);
  if (!environment.empty()) file.attribute("", "environment", environment);
  const auto add = [&](const auto&... array) { file.add(array...); };
  for_each_array(data, add, add);
  file.finish();
}

}  // namespace

void expect_data_set_name(const std::string& path) {
  if (!is_npz(path) && !path.ends_with(".safetensors") && !is_hdf5(path))
    throw Error(path + ": the name of a data set ends with .npz, .safetensors or .hdf5");
}

void expect_writable(const std::string& path) {
  namespace fs = std::filesystem;
  expect_data_set_name(path);
  if (fs::exists(fs::symlink_status(path)))  // also a link to nothing
    throw Error(path + ": this file exists already; choose another name with --out");
  const fs::path folder = fs::path(path).parent_path();
  if (!folder.empty() && !fs::is_directory(folder))
    throw Error(path + ": there is no folder " + folder.string());
  if (is_hdf5(path)) expect_hdf5(path);
}

bool is_data_set(const std::string& path) { return file_of(path) != path || !std::filesystem::is_directory(path); }

DataFile read_data_file(const std::string& given, const Relabelling* relabelling, const DataOptions& options) {
  const std::string path = file_of(given);
  if (is_hdf5(path)) return parse_data_file(std::make_unique<Hdf5File>(path), relabelling, options);
  return read(path, *open_array_file(path), relabelling, options);
}

DataFile parse_data_file(std::span<const std::byte> bytes, const std::string& name, const Relabelling* relabelling) {
  return read(name, *open_array_file(bytes, name), relabelling, {});
}

DataFile parse_data_file(std::unique_ptr<Hdf5File> file, const Relabelling* relabelling, const DataOptions& options) {
  const std::string path = file->path();
  const Hdf5File::Names root = file->names("").value_or(Hdf5File::Names{});
  DataFile result;
  if (has_robomimic_layout(root)) {
    result = read_robomimic(*file, options);
  } else if (has_minari_layout(root)) {
    if (!options.filter.empty()) throw Error(path + ": --filter goes with robomimic's layout, of which it is not");
    result = read_minari(*file, options);
  } else {
    return read(path, *hdf5_arrays(std::move(file)), relabelling, options);
  }
  check(path, result, options);
  return result;
}

DataFile read_data_of_task(const std::string& path, const std::string& task, const DataOptions& options) {
  const EnvironmentInfo info = environment_info(task);
  const auto cubes = fixed_cube_task(task);
  const Relabelling relabelling{cubes ? cubes->positions() : 0, [&](std::span<const float> positions) {
    const auto [reward, success] = cubes->judge(positions);
    return Relabelling::Row{static_cast<float>(reward), success ? 0.0f : 1.0f};
  }};
  DataFile file = read_data_file(path, cubes ? &relabelling : nullptr, options);
  if (!file.environment.empty() && !is_data_of(file.environment, task))
    throw Error(message(path, ": the file says that it holds data of ", quoted(file.environment), ", not of ", task,
                        "; if they are the same, save it without its environment"));
  if (file.data.observations != info.observations || file.data.actions != info.actions)
    throw Error(message(path, ": holds ", file.data.observations, " observations and ", file.data.actions,
                        " actions, ", task, " has ", info.observations, " and ", info.actions));
  return file;
}

void write_data_set(const std::string& path, const DataSet& data, const std::string& environment) {
  expect_data_set_name(path);
  data.check(path);
  if (is_npz(path)) {
    NpzWriter file;
    for_each_array(data, [&](const auto&... array) { file.add(array...); },
                   [&](const auto&... array) { file.add_bool(array...); });
    if (!environment.empty()) file.add_text("environment", environment);
    file.write(path);
  } else if (is_hdf5(path)) {
    const std::string partial = free_name_beside(path);
    if (environment.starts_with("robomimic-")) write_demonstrations(partial, environment, data);
    else write_arrays(partial, data, environment);
    put_in_place(partial, path, OutputPlace::replaced);
  } else {
    SafetensorsWriter file;
    file.metadata("format", "meander data set");
    if (!environment.empty()) file.metadata("environment", environment);
    const auto add = [&](const auto&... array) { file.add(array...); };
    for_each_array(data, add, add);
    file.write(path);
  }
}

}  // namespace meander
