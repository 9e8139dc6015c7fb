#include <meander/app/verify_robomimic.h>

#include <array>

namespace meander {
namespace {

constexpr double singular = 1e4;
constexpr size_t rotation_at = 12;  // of can and square: the object's rotation in the hand's frame, x y z w

void compare_observation(const std::string& where, Numbers got, Numbers expected, ReplayReport& report) {
  const double tolerance = same_bits ? 4e-15 : tolerance_elsewhere;
  if (got.size() == 19) return report.compare("obs", got, expected, tolerance, where);
  report.compare("obs", got.first(rotation_at), expected.first(rotation_at), tolerance, where);
  report.compare("obs", got.subspan(rotation_at + 4), expected.subspan(rotation_at + 4), tolerance, where);
  std::array<double, 4> rotation;
  std::copy_n(got.begin() + rotation_at, 4, rotation.begin());
  const Numbers recorded = expected.subspan(rotation_at, 4);
  double cosine = 0;
  for (size_t i = 0; i < 4; ++i) cosine += rotation[i] * recorded[i];
  if (std::abs(recorded[3]) < 1e-5 && cosine < 0)
    for (double& x : rotation) x = -x;
  report.compare("obs/rotation", rotation, recorded, same_bits ? 2e-6 : 10 * tolerance_elsewhere, where);
}

}  // namespace

void compare_robomimic_model(const SafetensorsFile& file, Robomimic& environment, ReplayReport& report) {
  if (environment.task() == RobomimicTask::lift)
    environment.set_cube_half_size(recorded_tensor(file, "model/cube_size", {3}));
  const std::vector<double> hull = environment.model_array("hull");
  report.compare("hull", hull, recorded_tensor(file, "hull", {std::ssize(hull)}), 0, "hull");
}

void replay_robomimic(const SafetensorsFile& file, const RecordedEpisode& episode, Robomimic& environment,
                      ReplayReport& report) {
  constexpr int64_t substeps = Robomimic::substeps, joints = Robomimic::arm_joints;
  const int64_t steps = episode.steps, size = environment.info().observations;
  const double exact = same_bits ? 0 : tolerance_elsewhere;
  const auto recorded = [&](const char* name, const std::vector<int64_t>& shape) {
    return recorded_tensor(file, episode.prefix + name, shape);
  };

  MersenneTwister generator(*episode.seed);
  const std::vector<double> before = environment.reset_as_package(generator);
  const auto compare_start = [&](const char* name, Numbers got) {
    report.compare("seeded reset", got, recorded(name, {std::ssize(got)}), exact, episode.prefix + name);
  };
  if (environment.task() == RobomimicTask::lift) compare_start("cube_size", environment.cube_half_size());
  compare_start("home", environment.posture());
  compare_start("reset/pre", before);
  compare_start("reset/state", environment.integration_state());
  compare_observation(episode.prefix + "reset/obs", environment.observation(), recorded("reset/obs", {size}), report);

  const Numbers actions = recorded("actions", {(steps - 1) / episode.hold + 1, Robomimic::actions});
  const Numbers torques = recorded("ctrl", {steps, substeps, joints}), grip = recorded("grip", {steps, 2});
  const Numbers observations = recorded("obs", {steps, size}), reward = recorded("reward", {steps});
  const Numbers terminated = recorded("terminated", {steps}), truncated = recorded("truncated", {steps});
  const std::vector<int64_t> rows = recorded_rows(file, episode);
  const auto row_of = [&](const char* name, int64_t row, int64_t width) {
    return recorded(name, {std::ssize(rows), width}).subspan(row * width, width);
  };
  std::array<Robomimic::Substep, substeps> own;
  for (int64_t i = 0, row = 0; i < (same_bits ? steps : std::min(steps, steps_compared_elsewhere)); ++i) {
    const std::string where = message(episode.prefix, "step ", i);
    const Numbers given = torques.subspan(i * substeps * joints, substeps * joints);
    const Step step =
        environment.replay(actions.subspan(i / episode.hold * Robomimic::actions, Robomimic::actions), given, own);
    for (int64_t k = 0; k < substeps; ++k) {
      const Numbers controls = own[k].controls;
      const bool near = own[k].condition > singular;
      for (int64_t j = 0; j < joints; ++j)
        report.compare(near ? "ctrl near a singular pose" : "ctrl", controls[j] - given[k * joints + j], 0,
                       near || !same_bits ? 1e-6 : 1e-9, message(where, ", time step ", k));
      report.compare("grip", controls.last(2), grip.subspan(2 * i, 2), exact, where);
    }
    report.compare("reward", step.reward + 1, reward[i], 0, where);
    report.compare("terminated", step.terminated, terminated[i], 0, where);
    report.compare("truncated", step.truncated, truncated[i], 0, where);
    compare_observation(where, environment.observation(), observations.subspan(i * size, size), report);
    if (row == std::ssize(rows) || rows[row] != i) continue;
    const Numbers qpos = environment.positions(), qvel = environment.velocities();
    report.compare("qpos", qpos, row_of("qpos", row, std::ssize(qpos)), exact, where);
    report.compare("qvel", qvel, row_of("qvel", row, std::ssize(qvel)), exact, where);
    ++row;
  }
}

}  // namespace meander
