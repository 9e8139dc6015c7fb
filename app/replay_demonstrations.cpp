#include <meander/app/replay_demonstrations.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <sstream>

#include <meander/app/demonstrations.h>
#include <meander/app/episode_arrays.h>
#include <meander/app/output.h>
#include <meander/app/progress.h>
#include <meander/app/robomimic_file.h>
#include <meander/core/json.h>
#include <meander/core/memory_limit.h>
#include <meander/envs/environments.h>
#include <meander/envs/robomimic.h>

namespace meander {

namespace {

constexpr int64_t first_position = 1;  // in a recorded state, after the time

// Half sizes of lift's cube in a model's XML: <geom name="cube_g0" ... size="a b c" .../>. Nothing if it has none.
std::optional<std::array<double, 3>> cube_in(const std::string& model) {
  const size_t name = model.find("\"cube_g0\"");
  if (name == model.npos) return {};
  const size_t begin = model.rfind('<', name), end = model.find('>', name);
  if (begin == model.npos || end == model.npos) return {};
  const std::string tag = model.substr(begin, end - begin);
  const size_t size = tag.find(" size=\"");
  if (size == tag.npos) return {};
  std::istringstream numbers(tag.substr(size + 7));
  std::array<double, 3> half{};
  for (double& x : half)
    if (!(numbers >> x) || !(x > 0 && x < 1)) return {};
  return half;
}

// A file's demonstrations, one after the other, and the task's simulation.
class Demonstrations {
 public:
  Demonstrations(const std::string& path, const DataOptions& options)
      : file_(path), demos_(robomimic_demos(file_, options, about_)), task_(open_task()) {}

  const DataFile& about() const { return about_; }
  const RobomimicDemos& demos() const { return demos_; }
  Robomimic& task() { return task_; }
  int64_t without_cube() const { return without_cube_; }

  // Reads one and sets lift's cube.
  void load(size_t i) {
    const std::string& group = demos_.groups[i];
    steps_ = demos_.steps[i];
    width_ = 0;
    const auto shape = file_.shape(group + "/states");
    if (!shape) file_.fail(group, " has no states: nothing can be played");
    expect_rows(file_, group + "/states", shape, width_);
    using Wide = unsigned __int128;
    expect_memory(file_.path() + ": a demonstration",
                  static_cast<uint64_t>(std::min<Wide>(Wide(steps_) * Wide(width_ + demos_.actions) * 8, UINT64_MAX)));
    states_.resize(static_cast<size_t>(steps_ * width_));
    actions_.resize(static_cast<size_t>(steps_ * demos_.actions));
    file_.read_rows<double>({{group + "/states", steps_, width_}, {group + "/actions", steps_, demos_.actions}},
                            [&](size_t index, int64_t first, std::span<const double> numbers) {
      std::vector<double>& to = index == 0 ? states_ : actions_;
      for (const double& x : numbers)
        if (!std::isfinite(x)) file_.fail(group, " holds a number that is not finite");
      std::copy(numbers.begin(), numbers.end(), to.begin() + first * (index == 0 ? width_ : demos_.actions));
    });
    if (demos_.environment != "robomimic-lift") return;
    model_ = file_.attribute(group, "model_file").value_or("");
    const auto cube = cube_in(model_);
    without_cube_ += !cube;
    task_.set_cube_half_size(cube.value_or(std::array{.021, .021, .021}));
  }
  int64_t steps() const { return steps_; }
  std::span<const double> state(int64_t t) const { return std::span(states_).subspan(t * width_, width_); }
  std::span<const double> states() const { return states_; }
  std::span<const double> action(int64_t t) const {
    return std::span(actions_).subspan(t * demos_.actions, demos_.actions);
  }
  const std::vector<double>& actions() const { return actions_; }
  const std::string& model() const { return model_; }

  void put(int64_t t) {
    try {
      task_.put(state(t), t == 0);
    } catch (const Error& error) {
      file_.fail(error.what());
    }
  }

 private:
  Robomimic open_task() {
    const auto info = robomimic_info(demos_.environment);
    const std::string& name = demos_.environment;
    if (!info) file_.fail("holds data of ", quoted(name), "; robomimic-lift, -can and -square can be played");
    if (demos_.actions != info->actions)
      file_.fail("holds actions of ", demos_.actions, " numbers, those of ", name, " have ", info->actions);
    return Robomimic(demos_.environment);
  }

  DataFile about_;
  Hdf5File file_;
  RobomimicDemos demos_;
  Robomimic task_;
  std::vector<double> states_, actions_;
  std::string model_;
  int64_t steps_ = 0, width_ = 0, without_cube_ = 0;
};

double quantile(std::vector<double>& values, double share) {
  if (values.empty()) return 0;
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

}  // namespace

int replay_demonstrations(const std::string& path, const DataOptions& options, int64_t count) {
  Demonstrations recorded(path, options);
  Robomimic& task = recorded.task();
  const size_t demos = std::min(static_cast<size_t>(count), recorded.demos().groups.size());
  std::vector<double> arm, object;
  int64_t succeeded = 0, ended = 0;
  for (size_t i = 0; i < demos; ++i) {
    recorded.load(i);
    for (int64_t t = 0; t + 1 < recorded.steps(); ++t) {
      recorded.put(t);
      task.step(recorded.action(t));
      const auto reached = task.positions(), wanted = recorded.state(t + 1).subspan(first_position);
      double joints = 0, distance = 0;
      for (int j = 0; j < Robomimic::arm_joints; ++j) joints = std::max(joints, std::fabs(reached[j] - wanted[j]));
      for (int j = Robomimic::first_object; j < Robomimic::first_object + 3; ++j)
        distance += (reached[j] - wanted[j]) * (reached[j] - wanted[j]);
      arm.push_back(joints);
      object.push_back(std::sqrt(distance));
    }
    recorded.put(recorded.steps() - 1);
    ended += task.step(recorded.action(recorded.steps() - 1)).terminated;
    recorded.put(0);
    bool success = false;
    for (int64_t t = 0; t < recorded.steps() && !success; ++t) success = task.step(recorded.action(t)).terminated;
    succeeded += success;
  }
  print("{}: {} demonstrations of {} replayed, {} steps from a recorded state to the next\n\n", path, demos,
        recorded.demos().environment, count_text(std::ssize(arm)));
  const auto line = [](const char* what, std::vector<double>& errors, const char* unit) {
    const double median = quantile(errors, 0.5), most = quantile(errors, 0.9), last = quantile(errors, 1);
    print("  {:<24} median {:.2g}  90 % {:.2g}  largest {:.2g} {}\n", what, median, most, last, unit);
    return median;
  };
  const double median = line("error of the arm", arm, "rad, of the worst joint");
  line("error of the object", object, "m");
  print("  {:<24} {} of {}\n", "succeed at their end", ended, demos);
  print("  {:<24} {} of {}\n", "succeed open loop", succeeded, demos);
  print("\n  {}\n",
        median < 1e-6   ? "the states follow each other as in robosuite 1.5: the file and the simulation fit"
        : median < 1e-2 ? "nearly as in robosuite 1.5: another version's physics or a like controller"
                        : "not as in robosuite 1.5: another version, controller or kind of actions");
  print("  the world's frame and the base's are one: the base of this arm is not turned\n");
  for (const std::string& remark : recorded.about().remarks) print("  {}\n", remark);
  if (recorded.without_cube() > 0)
    print("  {} recorded models say no size of the cube: the middle one, 21 mm, was taken\n", recorded.without_cube());
  return 0;
}

std::string observe_demonstrations(const std::string& path, const DataOptions& options, const std::string& out) {
  Demonstrations recorded(path, options);
  Robomimic& task = recorded.task();
  DemonstrationWriter writer(out, recorded.demos().environment);
  int64_t succeeded = 0;
  for (size_t i = 0; i < recorded.demos().groups.size(); ++i) {
    recorded.load(i);
    Demonstration demo;
    const auto observe = [&] {
      const auto seen = task.observation();
      demo.observations.insert(demo.observations.end(), seen.begin(), seen.end());
    };
    for (int64_t t = 0; t <= recorded.steps(); ++t) {
      if (t < recorded.steps()) recorded.put(t);
      else task.step(recorded.action(t - 1));
      observe();
      if (t == 0) continue;
      demo.rewards.push_back(task.success());
      demo.dones.push_back(task.success());
    }
    succeeded += std::count(demo.dones.begin(), demo.dones.end(), 1) > 0;
    demo.actions = recorded.actions();
    demo.states.assign(recorded.states().begin(), recorded.states().end());
    demo.model_file = recorded.model();
    writer.add(demo);
  }
  writer.finish();
  std::string said = fmt::format("{} demonstrations of {}, {} of which succeed", recorded.demos().groups.size(),
                                 recorded.demos().environment, succeeded);
  if (recorded.without_cube() > 0)
    said += fmt::format("; {} models say no size of the cube: the middle one, 21 mm, was taken",
                        recorded.without_cube());
  return said;
}

bool holds_states_alone(const std::string& path) {
  if (!path.ends_with(".hdf5") && !path.ends_with(".h5")) return false;
  Hdf5File file(path);
  const auto demos = in_order(file.names("data").value_or(Hdf5File::Names{}), "demo_");
  return !demos.empty() && file.shape("data/" + demos[0] + "/states") && !file.names("data/" + demos[0] + "/obs");
}

}  // namespace meander
