#include <meander/envs/gymnasium.h>

#include <mujoco/mujoco.h>

#include <algorithm>
#include <cstdlib>

#include <meander/kernels/error.h>

namespace meander {
namespace {

// The models lie where the set-up put them, or where a copy of the program without the repository says.
std::filesystem::path assets() {
  const char* const elsewhere = std::getenv("MEANDER_GYMNASIUM_ASSETS");
  return elsewhere && *elsewhere ? elsewhere : MEANDER_GYMNASIUM_ASSETS;
}

}  // namespace

GymnasiumEnvironment::GymnasiumEnvironment(const std::string& name, const Task& task)
    : MujocoEnvironment({.name = name,
                         .observations = task.observations,
                         .action_low = {},  // from the model
                         .action_high = {},
                         .time_limit = task.time_limit,
                         .v_min = task.v_min,
                         .v_max = task.v_max,
                         .clipped_double_q = task.clipped_double_q},
                        assets() / task.model_file, task.frame_skip),
      version_(name.back() - '0') {}

Step GymnasiumEnvironment::step(std::span<const double> action) {
  check_action(action);
  const double before = measured();
  std::copy(action.begin(), action.end(), data().ctrl);
  for (int i = 0; i < frame_skip(); ++i) mj_step(&model(), &data());
  mj_rnePostConstraint(&model(), &data());
  const bool truncated = finish_step();
  const Outcome outcome = judge(action, before, measured());
  return {.reward = outcome.reward, .terminated = outcome.terminated, .truncated = truncated};
}

void GymnasiumEnvironment::uniform_positions(Stream& random, double bound) {
  for (int i = 0; i < model().nq; ++i) data().qpos[i] = model().qpos0[i] + random.uniform(-bound, bound);
}

void GymnasiumEnvironment::uniform_velocities(Stream& random, double bound) {
  for (int i = 0; i < model().nv; ++i) data().qvel[i] = random.uniform(-bound, bound);
}

void GymnasiumEnvironment::normal_velocities(Stream& random, double deviation) {
  for (int i = 0; i < model().nv; ++i) data().qvel[i] = deviation * random.normal();
}

double sum_of_squares(std::span<const double> x) {
  double sum = 0;
  for (double value : x) sum += value * value;
  return sum;
}

}  // namespace meander
