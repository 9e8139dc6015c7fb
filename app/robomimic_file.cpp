#include <meander/app/robomimic_file.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <sstream>

#include <meander/app/episode_arrays.h>
#include <meander/app/npz_file.h>
#include <meander/core/json.h>
#include <meander/core/text.h>

namespace meander {

namespace {

constexpr int64_t object_column = 9;  // after position 3, quaternion 4, fingers 2

std::string task_of(const std::string& name) {
  if (name == "Lift") return "robomimic-lift";
  if (name == "PickPlaceCan") return "robomimic-can";
  if (name == "NutAssemblySquare") return "robomimic-square";
  return name;
}

// The controller of the arm: robosuite 1.5 has one a part of the body, earlier versions one.
const Json* controller_of(const Json& args) {
  const Json* found = args.find("env_kwargs");
  if (found) found = found->find("controller_configs");
  const Json* const parts = found ? found->find("body_parts") : nullptr;
  return parts ? parts->find("right") : found;
}

// What env_args says. Throws Error without the file's name.
void read_arguments(const std::string& text, RobomimicDemos& demos, std::vector<std::string>& remarks) {
  const Json args = Json::parse(text);
  demos.environment = task_of(args.at("env_name").text());
  if (const Json* version = args.find("env_version")) demos.version = version->text();
  if (const Json* type = args.find("type"); type && type->whole() != 1) return;  // not robosuite's
  const auto number = [](const std::string& part) { return parse_whole(part).value_or(-1); };
  std::istringstream words(demos.version);
  std::string major, minor;
  std::getline(words, major, '.');
  std::getline(words, minor, '.');
  if (demos.version.empty()) {
    remarks.push_back("env_args: which version of robosuite it was recorded with is not said");
  } else if (number(major) != 1 || number(minor) < 0 || number(minor) > 5) {
    throw Error(message("it was recorded with robosuite ", quoted(demos.version),
                        "; what the observations and actions of versions 1.0 to 1.5 mean is known, not of this one"));
  } else if (number(minor) < 5) {
    remarks.push_back(message("it was recorded with robosuite ", demos.version,
                              ": the tasks are those of 1.5, where the same actions lead elsewhere"));
  }
  const Json* const controller = controller_of(args);
  if (!controller) return;
  if (const Json* type = controller->find("type"); type && type->text() != "OSC_POSE")
    throw Error(message("its actions are for a controller ", quoted(type->text()), "; those for OSC_POSE are read"));
  const Json* const delta = controller->find("control_delta");
  const Json* const input = controller->find("input_type");
  if ((delta && !delta->boolean()) || (input && input->text() != "delta"))
    throw Error("its actions are absolute poses (control_delta false); data sets of displacements are read");
  if (number(minor) != 5) return;
  const Json* const frame = controller->find("input_ref_frame");
  demos.frame = frame ? frame->text() : "base";
  // The arm's base is not turned: the two are one but for rounding.
  if (demos.frame != "world" && demos.frame != "base")
    throw Error(message("its actions are in the frame ", quoted(demos.frame),
                        "; those in the world's or the base's are read"));
}

// The z of objects is near .83 at the beginning: over the table, or the bin.
bool on_table(float z) { return z > 0.7f && z < 1.0f; }

bool is_unit(const float* quaternion) {
  double sum = 0;
  for (int i = 0; i < 4; ++i) sum += quaternion[i] * quaternion[i];
  return std::fabs(sum - 1) < 1e-2;
}

// Holds the columns of the object against what they must be, and brings those of robosuite 1.4 into the order of 1.5:
// for can and square it had the object's own pose first, then the one seen from the hand. `starts`: the first row of
// each demonstration.
void order_columns(const Hdf5File& file, const std::vector<int64_t>& starts, const std::string& task,
                   DataFile& result) {
  DataSet& data = result.data;
  const bool lift = task == "robomimic-lift";
  const int64_t width = lift ? 10 : 14;
  if (data.observations != object_column + width)
    file.fail("obs/object has ", data.observations - object_column, " columns, that of ", task, " has ", width);
  int64_t as_15 = 0, as_14 = 0;
  for (const int64_t start : starts) {
    const float* const object = &data.observation[start * data.observations + object_column];
    const float* const next = object + data.observations;  // the first relative pose may be another one's
    const bool unit = is_unit(next + 3) && (lift || is_unit(next + 10));
    as_15 += unit && on_table(object[lift ? 2 : 9]);
    as_14 += unit && !lift && on_table(object[2]);
  }
  const auto demos = std::ssize(starts);
  if (as_15 == demos && as_14 == 0) return;
  if (as_14 != demos || as_15 != 0)
    file.fail("obs/object is in no order of columns that is known: ", as_15, " of ", demos,
              " demonstrations begin as in robosuite 1.5, ", as_14, " as in 1.4");
  for (int64_t row = 0; row < data.rows(); ++row) {
    float* const object = &data.observation[row * data.observations + object_column];
    std::rotate(object, object + 7, object + 14);
  }
  result.remarks.push_back("obs/object had the order of columns of robosuite 1.4, and was brought into that of 1.5");
}

}  // namespace

bool has_robomimic_layout(const Hdf5File::Names& root) {
  return std::find(root.begin(), root.end(), "data") != root.end();
}

RobomimicDemos robomimic_demos(Hdf5File& file, const DataOptions& options, DataFile& result) {
  RobomimicDemos demos;
  const auto arguments = file.attribute("data", "env_args");
  if (!arguments) {
    result.remarks.push_back("no attribute env_args: of which task it is data is not said");
  } else {
    try {
      read_arguments(*arguments, demos, result.remarks);
    } catch (const Error& error) {
      file.fail("attribute env_args: ", error.what());
    }
  }
  const auto all = file.names("data");
  if (!all) file.fail("data is no group");
  std::vector<std::string> names = in_order(*all, "demo_");
  if (names.empty()) file.fail("no group data/demo_0");
  const auto filters = file.names("mask").value_or(Hdf5File::Names{});
  if (!options.filter.empty()) {
    std::string known;
    for (const std::string& filter : filters) known += (known.empty() ? "" : ", ") + filter;
    const auto listed = file.texts("mask/" + options.filter);
    if (!listed)
      file.fail("no filter ", quoted(options.filter), "; it has ", known.empty() ? "none" : shown(known));
    for (const std::string& name : *listed)
      if (!std::binary_search(all->begin(), all->end(), name) || in_order({name}, "demo_").empty())
        file.fail("mask/", options.filter, " lists ", quoted(name), ", which is no demonstration of it");
    names = in_order(*listed, "demo_");
    if (names.empty()) file.fail("mask/", options.filter, " lists no demonstration");
  }
  const auto keep = options.episodes > 0 ? std::min<int64_t>(options.episodes, std::ssize(names)) : std::ssize(names);
  names.resize(static_cast<size_t>(keep));
  Hdf5File::Names arrays;
  for (const std::string& name : names) {
    demos.groups.push_back("data/" + name);
    arrays.push_back("data/" + name + "/actions");
  }
  const auto shapes = file.shapes(arrays);
  int64_t total = 0;
  for (size_t i = 0; i < shapes.size(); ++i) {
    demos.steps.push_back(expect_rows(file, arrays[i], shapes[i], demos.actions));
    if (demos.steps[i] < 1) file.fail(demos.groups[i], " has no step");
    if (__builtin_add_overflow(total, demos.steps[i], &total)) file.fail("too many steps");
  }
  // Attributes that lie are a sign that something was cut, or put together by hand.
  const auto expect = [&](const std::string& object, const char* name, const std::optional<std::string>& said,
                          int64_t truth) {
    if (said && parse_whole(*said) != truth)
      file.fail(object, " says ", name, " ", quoted(*said), ", but there are ", truth);
  };
  const auto samples = file.attributes(demos.groups, "num_samples");
  for (size_t i = 0; i < samples.size(); ++i) expect(demos.groups[i], "num_samples", samples[i], demos.steps[i]);
  if (std::ssize(names) == std::ssize(in_order(*all, "demo_")))
    expect("data", "total", file.attribute("data", "total"), total);

  const auto say = [&](const char* what, const std::string& value) {
    if (!value.empty()) result.about.emplace_back(what, value);
  };
  say("layout", "robomimic");
  say("recorded with", demos.version.empty() ? "" : "robosuite " + demos.version);
  say("frame of the actions", demos.frame);
  say("demonstrations", message(demos.groups.size()));
  constexpr size_t most_shown = 20;
  for (const std::string& filter : std::span(filters).first(std::min(filters.size(), most_shown)))
    say("filter", message(filter, ": ", file.texts("mask/" + filter).value_or(Hdf5File::Names{}).size()));
  return demos;
}

DataFile read_robomimic(Hdf5File& file, const DataOptions& options) {
  DataFile result;
  const RobomimicDemos demos = robomimic_demos(file, options, result);
  result.environment = demos.environment;
  const std::string& first = demos.groups[0];
  const auto there = file.names(first + "/obs");
  if (!there && file.shape(first + "/states"))
    file.fail("holds states and no observations, as recorded: play them through the simulation with ",
              "meander convert ", shell_quoted(file.path()), " --out NAME.hdf5");
  if (!there) file.fail(first, " has neither observations (obs) nor states");
  const bool usual = options.observation_keys.empty();
  const auto keys = usual ? Hdf5File::Names{"robot0_eef_pos", "robot0_eef_quat", "robot0_gripper_qpos", "object"}
                          : split(options.observation_keys);
  const KeyColumns columns = key_columns(file, first + "/obs", *there, keys);
  const bool has_next = file.names(first + "/next_obs").has_value();
  EpisodeArrays arrays(file, demos.steps, columns.width, demos.actions);

  // Where episodes end.
  std::vector<Hdf5Rows> wanted;
  for (size_t i = 0; i < demos.groups.size(); ++i) wanted.push_back({demos.groups[i] + "/dones", demos.steps[i], 1});
  const std::vector<uint8_t> done = arrays.flags(wanted);
  std::vector<uint8_t> last(done.size(), 0);
  for (size_t i = 0; i < demos.groups.size(); ++i) last[arrays.first_step(i) + demos.steps[i] - 1] = 1;
  int64_t dropped = 0;
  for (size_t i = 0; i < done.size(); ++i) {
    const bool known = has_next || done[i];
    arrays.add_step(done[i] || last[i], known);
    dropped += last[i] && !known;
  }
  DataSet& data = arrays.allocate();

  wanted.clear();
  const size_t count = keys.size();
  for (size_t i = 0; i < demos.groups.size(); ++i) {
    const auto want = [&](const std::string& name, int64_t width) {
      wanted.push_back({demos.groups[i] + "/" + name, demos.steps[i], width});
    };
    want("actions", demos.actions);
    want("rewards", 1);
    for (size_t k = 0; k < count; ++k) want("obs/" + keys[k], columns.widths[k]);
    for (size_t k = 0; k < count && has_next; ++k) want("next_obs/" + keys[k], columns.widths[k]);
  }
  const size_t each = 2 + count * (has_next ? 2 : 1);
  std::vector<uint8_t> broken(done.size(), 0), succeeded(demos.groups.size(), 0);
  int64_t other_rewards = 0;
  file.read_rows<float>(wanted, [&](size_t index, int64_t begin, std::span<const float> numbers) {
    const size_t slot = index % each, width = static_cast<size_t>(wanted[index].width);
    int64_t step = arrays.first_step(index / each) + begin;
    for (size_t at = 0; at < numbers.size(); at += width, ++step) {
      const float* const from = &numbers[at];
      const int64_t row = arrays.row(step);
      if (slot == 0) {
        std::copy_n(from, width, &data.action[row * data.actions]);
      } else if (slot == 1) {
        data.reward[row] = *from - 1;
        other_rewards += *from != 0 && *from != 1;
        succeeded[index / each] |= *from == 1;
        data.mask[row] = done[step] ? 0.0f : 1.0f;
      } else {
        const bool next = slot >= 2 + count;
        float* const to = &data.observation[(row + next) * data.observations + columns.offsets[(slot - 2) % count]];
        if (!next || data.terminal[row + 1]) std::copy_n(from, width, to);
        else if (!std::equal(from, from + width, to)) broken[step] = 1;
      }
    }
  });
  for (size_t i = 0; i < done.size() && !has_next; ++i)
    if (done[i] || last[i]) arrays.repeat(static_cast<int64_t>(i));
  result.data = arrays.take();

  if (usual && demos.environment.starts_with("robomimic-")) {
    std::vector<int64_t> starts;
    for (size_t i = 0; i < demos.groups.size(); ++i)
      if (demos.steps[i] > 1) starts.push_back(arrays.row(arrays.first_step(i)));
    order_columns(file, starts, demos.environment, result);
  }
  result.about.emplace_back("successes", message(std::count(succeeded.begin(), succeeded.end(), 1), " of ",
                                                 succeeded.size(), " demonstrations"));
  const auto remark = [&](int64_t n, const auto&... parts) {
    if (n > 0) result.remarks.push_back(message(n, parts...));
  };
  remark(std::count(broken.begin(), broken.end(), 1), " steps' next_obs are not the next row's obs: the order of the ",
         "rows counts");
  remark(other_rewards, " rewards are neither 0 nor 1, as those of the tasks are");
  remark(dropped, dropped == 1 ? " step is" : " steps are", " dropped: without next_obs nobody knows what followed");
  return result;
}

}  // namespace meander
