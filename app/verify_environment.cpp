#include <meander/app/verify_environment.h>

#include <sstream>

#include <meander/app/replay_report.h>
#include <meander/app/verify_robomimic.h>
#include <meander/envs/dm_control.h>
#include <meander/envs/environments.h>
#include <meander/envs/mujoco.h>
#include <meander/envs/ogbench_cube.h>

namespace meander {
namespace {

// What a replay needs beyond the Environment interface; without MuJoCo (Pendulum-v1) the saved state has it all.
class Replayed {
 public:
  explicit Replayed(const std::string& task)
      : environment_(make_environment(task)),
        mujoco_(dynamic_cast<MujocoEnvironment*>(environment_.get())),
        cube_(dynamic_cast<OgbenchCube*>(environment_.get())),
        robomimic_(dynamic_cast<Robomimic*>(environment_.get())) {}

  Environment& environment() { return *environment_; }
  const MujocoEnvironment* mujoco() const { return mujoco_; }
  OgbenchCube* cube() { return cube_; }  // a task with a controller, whose output is recorded
  Robomimic* robomimic() { return robomimic_; }  // another, within the step

  void reset_as_package(uint32_t seed) { dynamic_cast<DmControlEnvironment&>(*environment_).reset_as_package(seed); }
  void start_from(Numbers state) {
    if (mujoco_) return mujoco_->start_from(state);
    std::vector<double> with_steps(state.begin(), state.end());
    with_steps.push_back(0);
    environment_->load(with_steps);
  }
  std::vector<double> state() const {
    if (mujoco_) return mujoco_->integration_state();
    std::vector<double> state = environment_->save();
    state.pop_back();
    return state;
  }
  std::vector<double> positions() const { return mujoco_ ? copy(mujoco_->positions()) : first_half(state()); }
  std::vector<double> velocities() const { return mujoco_ ? copy(mujoco_->velocities()) : second_half(state()); }
  std::vector<double> activations() const { return mujoco_ ? copy(mujoco_->activations()) : std::vector<double>{}; }

 private:
  static std::vector<double> copy(Numbers x) { return {x.begin(), x.end()}; }
  static std::vector<double> first_half(const std::vector<double>& x) { return {x.begin(), x.begin() + x.size() / 2}; }
  static std::vector<double> second_half(const std::vector<double>& x) { return {x.begin() + x.size() / 2, x.end()}; }

  std::unique_ptr<Environment> environment_;
  MujocoEnvironment* mujoco_;
  OgbenchCube* cube_;
  Robomimic* robomimic_;
};

std::vector<RecordedEpisode> read_episodes(const SafetensorsFile& file) {
  const bool seeded = file.metadata("family") == "dmc" || file.metadata("family") == "robomimic";
  std::vector<RecordedEpisode> episodes;
  try {
    const Json entries = Json::parse(file.metadata("episodes"));
    for (const Json& entry : entries.list()) {
      RecordedEpisode episode{message("ep", episodes.size(), "/"), entry.at("steps").whole(),
                      entry.at("hold").whole(), std::nullopt};
      // A launched episode begins in a state that was set, not drawn.
      if (seeded && !entry.find("launch")) episode.seed = static_cast<uint32_t>(entry.at("seed").whole());
      episodes.push_back(std::move(episode));
    }
  } catch (const Error&) {
    throw Error(message("its metadata 'episodes' is not a JSON list of objects with whole 'steps' and 'hold'",
                        seeded ? " and 'seed'" : ""));
  }
  for (const RecordedEpisode& episode : episodes)
    if (episode.steps < 1 || episode.hold < 1)
      throw Error(message(episode.prefix, " has steps ", episode.steps, " and hold ", episode.hold,
                          ", expected both from 1 on"));
  if (episodes.empty()) throw Error("it holds no episode");
  return episodes;
}

constexpr double last_place = std::numeric_limits<double>::epsilon();

double observation_tolerance(const std::string& task) {
  if (!same_bits) return tolerance_elsewhere;
  for (const char* with_functions : {"InvertedDoublePendulum", "Reacher", "dmc-hopper", "cube-"})  // sines; log1p
    if (task.starts_with(with_functions)) return 4 * last_place;
  for (const char* with_products : {"dmc-humanoid", "dmc-dog"})  // by a rotation matrix, of vectors up to some 10 long
    if (task.starts_with(with_products)) return 64 * last_place;
  return 0;
}

// The humanoid's quaternion is normalised by a BLAS product: a last place that depends on the processor, and then the
// accelerations that the solver's warm start holds. All other resets are sums and products in a given order.
double seeded_reset_tolerance(const std::string& task) {
  if (!same_bits) return tolerance_elsewhere;
  return task.starts_with("dmc-humanoid") ? 1e-9 : 0;
}

// The environment's name. Recordings of dm_control leave out the family, those of OGBench carry a shorter name:
// cube-double-task2.
std::string environment_of(const std::string& family, const std::string& task) {
  if (family == "gym") return task;
  if (family == "dmc") return "dmc-" + task;
  if (family == "robomimic") return "robomimic-" + task;
  if (family != "ogb")
    throw Error(message("expected a task of the families gym, dmc, ogb and robomimic, got '", family, "'"));
  const size_t number = task.find("-task");
  if (!task.starts_with("cube-") || number == std::string::npos)
    throw Error("expected a task of OGBench like cube-double-task2, got '" + task + "'");
  return task.substr(0, number) + "-play-singletask" + task.substr(number) + "-v0";
}

void compare_model(const SafetensorsFile& file, const MujocoEnvironment& environment, ReplayReport& report) {
  std::istringstream words(file.metadata("model_info"));
  std::vector<std::string> names;
  for (std::string word; words >> word;) names.push_back(word);
  const Numbers info = recorded_tensor(file, "model/info", {static_cast<int64_t>(names.size())});
  for (size_t i = 0; i < names.size(); ++i)
    report.compare("model/" + names[i], environment.model_number(names[i]), info[i], names[i] == "mass" ? 1e-12 : 0,
                   "model/info");
  for (const auto& [name, recorded] : file.tensors()) {
    if (!name.starts_with("model/") || name == "model/info" || name == "model/cube_size") continue;
    const std::vector<double> field = environment.model_array(name.substr(6));
    report.compare(name, field, file.values<double>(name, std::ssize(field)), 0, name);
  }
}

// The tables of tasks, which a replay from recorded states does not read: a reset of ours has the recorded targets (the
// last numbers of a state), and its cubes lie where two draws of +-.01 m may differ by.
void compare_task(const SafetensorsFile& file, const RecordedEpisode& episode, OgbenchCube& cube, ReplayReport& report) {
  Stream random(0, Purpose::test, 0);
  cube.reset(random);
  const std::vector<double> state = cube.integration_state();
  const std::string name = episode.prefix + "reset/state";
  const Numbers own(state), recorded = recorded_tensor(file, name, {std::ssize(state)});
  const size_t targets = 7 * cube.cubes();
  report.compare("goal", own.last(targets), recorded.last(targets), 0, name);
  for (int i = 0; i < cube.cubes(); ++i) {
    const size_t position = 1 + OgbenchCube::first_cube + 7 * i;  // after the time
    report.compare("start", own.subspan(position, 3), recorded.subspan(position, 3), 0.02, name);
  }
}

void replay(const SafetensorsFile& file, const RecordedEpisode& episode, Replayed& replayed, ReplayReport& report) {
  Environment& environment = replayed.environment();
  const EnvironmentInfo& info = environment.info();
  const double exact = same_bits ? 0 : tolerance_elsewhere;
  const double obs_tolerance = observation_tolerance(info.name);
  const auto named = [&](const char* name) { return episode.prefix + name; };

  const int64_t state_size = static_cast<int64_t>(replayed.state().size());
  const Numbers state = recorded_tensor(file, named("reset/state"), {state_size});
  const Numbers reset_obs = recorded_tensor(file, named("reset/obs"), {info.observations});
  const Numbers before = replayed.mujoco() ? recorded_tensor(file, named("reset/pre"), {state_size}) : state;
  const Numbers actions =
      recorded_tensor(file, named("actions"), {(episode.steps - 1) / episode.hold + 1, info.actions});
  const Numbers reward = recorded_tensor(file, named("reward"), {episode.steps});
  const Numbers terminated = recorded_tensor(file, named("terminated"), {episode.steps});
  const Numbers truncated = recorded_tensor(file, named("truncated"), {episode.steps});
  const std::vector<int64_t> rows = recorded_rows(file, episode);

  if (replayed.cube()) compare_task(file, episode, *replayed.cube(), report);
  if (episode.seed) {
    replayed.reset_as_package(*episode.seed);
    report.compare("seeded reset", replayed.state(), state, seeded_reset_tolerance(info.name), named("reset/state"));
  }
  replayed.start_from(before);
  report.compare("reset/state", replayed.state(), state, exact, named("reset/state"));
  report.compare("reset/obs", environment.observation(), reset_obs, obs_tolerance, named("reset/obs"));

  // One recorded quantity of a row: its name in the file, and what it is now.
  const auto compare_row = [&](const char* name, size_t row, Numbers now, double tolerance) {
    const int64_t width = static_cast<int64_t>(now.size());
    const Numbers all = recorded_tensor(file, named(name), {static_cast<int64_t>(rows.size()), width});
    report.compare(name, now, all.subspan(row * now.size(), now.size()), tolerance,
                   message(episode.prefix, "step ", rows[row]));
  };
  const int64_t steps = same_bits ? episode.steps : std::min(episode.steps, steps_compared_elsewhere);
  for (int64_t i = 0, row = 0; i < steps; ++i) {
    const Numbers action = actions.subspan((i / episode.hold) * info.actions, info.actions);
    const std::string where = message(episode.prefix, "step ", i);
    Step step;
    if (OgbenchCube* const cube = replayed.cube()) {
      const Numbers recorded = recorded_tensor(file, named("ctrl"), {episode.steps, OgbenchCube::controls})
                                   .subspan(i * OgbenchCube::controls, OgbenchCube::controls);
      report.compare("ctrl", cube->control(action), recorded, same_bits ? 1e-9 : tolerance_elsewhere, where);
      step = cube->simulate(recorded);
    } else {
      step = environment.step(action);
    }
    report.compare("reward", step.reward, reward[i], same_bits ? 1e-12 : tolerance_elsewhere, where);
    report.compare("terminated", step.terminated, terminated[i], 0, where);
    report.compare("truncated", step.truncated, truncated[i], 0, where);
    if (row == static_cast<int64_t>(rows.size()) || rows[row] != i) continue;
    compare_row("qpos", row, replayed.positions(), exact);
    compare_row("qvel", row, replayed.velocities(), exact);
    if (!replayed.activations().empty()) compare_row("act", row, replayed.activations(), exact);
    compare_row("obs", row, environment.observation(), obs_tolerance);
    ++row;
  }
}

}  // namespace

bool is_environment_golden(const SafetensorsFile& file) {
  return file.metadata().contains("task") && file.metadata().contains("family");
}

std::vector<CheckLine> verify_environment(const SafetensorsFile& file) try {
  const std::string& family = file.metadata("family");
  const std::string& task = file.metadata("task");
  Replayed replayed(environment_of(family, task));
  ReplayReport report;
  const std::string& limit = file.metadata("limit");
  if (limit.empty() || limit.size() > 9 || limit.find_first_not_of("0123456789") != std::string::npos)
    throw Error(message("its metadata 'limit' is '", limit, "', expected a number of steps"));
  report.compare("limit", replayed.environment().info().time_limit, std::stod(limit), 0, "the time limit");
  if (replayed.robomimic()) compare_robomimic_model(file, *replayed.robomimic(), report);
  if (replayed.mujoco()) compare_model(file, *replayed.mujoco(), report);
  for (const RecordedEpisode& episode : read_episodes(file)) {
    if (Robomimic* const robomimic = replayed.robomimic()) replay_robomimic(file, episode, *robomimic, report);
    else replay(file, episode, replayed, report);
  }
  return std::move(report).lines();
} catch (const Error& error) {
  const std::string text = error.what();
  throw Error(text.starts_with(file.path()) ? text : file.path() + ": " + text);
}

}  // namespace meander
