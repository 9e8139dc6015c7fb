#include <meander/app/data_files.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>

#include <meander/app/npz_file.h>
#include <meander/kernels/error.h>
#include <meander/core/safetensors.h>
#include <meander/envs/ogbench_cube.h>

namespace meander {

namespace {

bool is_npz(const std::string& path) { return path.ends_with(".npz"); }

// An array of a file by its name, or nothing if it is absent and may be.
using ReadArray = std::function<std::optional<FloatArray>(const std::string& name)>;

FloatArray read_tensor(const SafetensorsFile& file, const std::string& name) {
  const FileTensor& tensor = file.at(name);
  FloatArray array{tensor.shape, {}};
  const auto copy = [&](const auto& values) { array.values.assign(values.begin(), values.end()); };
  switch (tensor.dtype) {
    case DType::float32: copy(tensor.as<float>()); break;
    case DType::float64: copy(tensor.as<double>()); break;
    case DType::int32: copy(tensor.as<int32_t>()); break;
    case DType::uint32: copy(tensor.as<uint32_t>()); break;
    case DType::uint8: copy(tensor.as<uint8_t>()); break;
  }
  return array;
}

DataSet assemble(const std::string& path, const ReadArray& read, const Relabelling* relabelling) {
  DataSet data;
  int64_t rows = -1;  // of the first array, and so of all
  const auto expect_shape = [&](const std::string& name, const std::vector<int64_t>& shape, size_t dimensions) {
    if (rows < 0 && !shape.empty()) rows = shape[0];
    if (shape.size() != dimensions || shape[0] != rows || (dimensions == 2 && shape[1] < 1))
      throw Error(message(path, ": ", name, " has shape ", shape_text(shape), ", expected ",
                          rows < 0 ? "rows of numbers" : message(rows, dimensions == 2 ? " rows" : " numbers")));
  };
  const auto need = [&](const std::string& name, size_t dimensions) {
    auto array = read(name);
    if (!array) throw Error(message(path, ": no array ", name, ": not a data set"));
    expect_shape(name, array->shape, dimensions);
    return std::move(*array);
  };
  const auto expect_zeros_and_ones = [&](const char* name, const std::vector<float>& values) {
    for (const float& x : values)
      if (x != 0 && x != 1)
        throw Error(message(path, ": ", name, " holds ", x, " in row ", &x - values.data(), ", expected 0 or 1"));
  };

  FloatArray observations = need("observations", 2), actions = need("actions", 2);
  data.observations = static_cast<int>(observations.shape[1]);
  data.observation = std::move(observations.values);
  data.actions = static_cast<int>(actions.shape[1]);
  data.action = std::move(actions.values);
  const FloatArray terminals = need("terminals", 1);
  expect_zeros_and_ones("terminals", terminals.values);
  data.terminal.assign(terminals.values.begin(), terminals.values.end());
  if (rows > 0) data.terminal.back() = 1;

  auto rewards = read("rewards"), masks = read("masks");
  if (!rewards) {
    auto positions = read("qpos");
    if (!relabelling || !positions)
      throw Error(message(path, ": no array rewards: play data have none before a task is chosen; ",
                          relabelling ? "with an array qpos they would be computed from that"
                                      : "train on a task of a fixed goal, such as cube-single-play-singletask-task1-v0"));
    expect_shape("qpos", positions->shape, 2);
    const int64_t size = positions->shape[1];
    if (relabelling->positions > 0 && size != relabelling->positions)
      throw Error(message(path, ": qpos has ", size, " numbers in a row, this task has ",
                          relabelling->positions));
    rewards = FloatArray{{rows}, {}};
    masks = FloatArray{{rows}, {}};
    for (int64_t i = 0; i < rows; ++i) {
      const auto [reward, mask] = relabelling->row(std::span(positions->values).subspan(i * size, size));
      rewards->values.push_back(reward);
      masks->values.push_back(mask);
    }
  }
  if (!masks) masks = FloatArray{{rows}, std::vector<float>(static_cast<size_t>(rows), 1.0f)};
  expect_shape("rewards", rewards->shape, 1);
  expect_shape("masks", masks->shape, 1);
  data.reward = std::move(rewards->values);
  data.mask = std::move(masks->values);

  data.check(path);
  expect_zeros_and_ones("masks", data.mask);
  // A simulator clips actions, so one that rounding took out of the range did what the nearest inside does. One farther
  // out is of other units.
  for (int64_t i = 0; i < std::ssize(data.action); ++i) {
    const int64_t row = i / data.actions;
    if (std::fabs(data.action[i]) > 1.001f && !data.terminal[row])
      throw Error(message(path, ": actions holds ", data.action[i], " in row ", row,
                          "; actions must be normalised to [-1, 1]"));
    data.action[i] = std::clamp(data.action[i], -1.0f, 1.0f);
  }
  return data;
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

}  // namespace

void expect_data_set_name(const std::string& path) {
  if (!is_npz(path) && !path.ends_with(".safetensors"))
    throw Error(path + ": the name of a data set ends with .npz or .safetensors");
}

void expect_writable(const std::string& path) {
  namespace fs = std::filesystem;
  expect_data_set_name(path);
  if (fs::exists(path)) throw Error(path + ": this file exists already; choose another name with --out");
  const fs::path folder = fs::path(path).parent_path();
  if (!folder.empty() && !fs::is_directory(folder))
    throw Error(path + ": there is no folder " + folder.string());
}

DataSet read_data_set(const std::string& path, const Relabelling* relabelling) {
  expect_data_set_name(path);
  if (is_npz(path)) {
    const NpzFile file(path);
    const auto read = [&](const std::string& name) {
      return file.contains(name) ? std::optional(file.read(name)) : std::nullopt;
    };
    return assemble(path, read, relabelling);
  }
  const SafetensorsFile file(path);
  return assemble(path, [&](const std::string& name) { return std::optional(read_tensor(file, name)); }, relabelling);
}

DataSet read_data_of_task(const std::string& path, const std::string& task) {
  const auto cubes = fixed_cube_task(task);
  if (!cubes) return read_data_set(path);
  const Relabelling relabelling{cubes->positions(), [&](std::span<const float> positions) {
    const auto [reward, success] = cubes->judge(positions);
    return Relabelling::Row{static_cast<float>(reward), success ? 0.0f : 1.0f};
  }};
  return read_data_set(path, &relabelling);
}

void write_data_set(const std::string& path, const DataSet& data, const std::string& environment) {
  expect_data_set_name(path);
  data.check(path);
  if (is_npz(path)) {
    NpzWriter file;
    for_each_array(data, [&](const auto&... array) { file.add(array...); },
                   [&](const auto&... array) { file.add_bool(array...); });
    file.write(path);
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
