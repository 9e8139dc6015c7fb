#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include <meander/envs/draws.h>
#include <meander/envs/mujoco.h>
#include <meander/envs/registry.h>

namespace meander {

// Tasks of the DeepMind Control Suite, dm_control 1.0.28 (Tassa et al. 2018), the same numbers step for step. They are
// called dmc-DOMAIN-TASK. Rewards lie in [0, 1]; an episode is 1000 steps and has no end of its own.
//
// A control step first completes the time step whose positions and velocities are known (mj_step2), takes
// frame_skip - 1 whole ones, and ends by computing what follows from the new positions and velocities (mj_step1). So
// all of this is fresh in observations and rewards, but sensors of force and acceleration belong to the last completed
// time step. With the Runge-Kutta integrator the time steps are whole, then mj_step1. At a reset everything is computed
// with the actuators switched off.
class DmControlEnvironment : public MujocoEnvironment {
 public:
  // Also throws Error for an action that is not finite, for MuJoCo would put zeros in its place.
  Step step(std::span<const double> action) final;
  // The state that the package resets to with a task of this seed, bit for bit (the humanoid's quaternion within 1 ulp:
  // see docs/decisions.md).
  void reset_as_package(uint32_t seed);

 protected:
  // Loads the XML file of the domain.
  explicit DmControlEnvironment(const std::string& name);
  DmControlEnvironment(const std::string& name, SharedModel model);

  // Sets the state of a new episode, from the default pose with everything computed for it.
  virtual void initialise(Draws& draws) = 0;
  virtual double reward() const = 0;
  void forward() final;  // with the actuators switched off

  // Every limited joint uniform in its range, every other hinge in [-pi, pi); a free joint turned at random.
  void randomise_joints(Draws& draws);

  std::string task() const;              // "run" of dmc-walker-run
  double height(int body) const;         // z of its frame, m
  // Entries of its 3 x 3 rotation matrix: row z holds the world's vertical in the body's frame.
  std::span<const double> rotation(int body) const;
  std::span<const double> vertical(int body) const { return rotation(body).subspan(6); }
  double upright(int body) const { return rotation(body)[8]; }  // cosine of its tilt
  std::span<const double> sensor(const char* name) const;       // stays valid while the environment lives
  double gentleness() const;  // mean over the actions of 1 - a^2, 0 beyond +-1

 private:
  void randomise(Stream& random) final;
  void prepare_loaded() final;

  SharedModel without_actuators_;  // the same arrays under other options
};

// The vector v (world frame) in the frame whose rotation matrix is given, summed in the package's order.
std::array<double, 3> in_frame(std::span<const double> v, std::span<const double> rotation);

// A file of the suite. Throws Error, with the remedy, if it is not on this machine.
std::filesystem::path dm_control_file(const std::string& file);
bool dm_control_available();

// What info() of the task says; needs no files. Throws Error if there is no such task.
EnvironmentInfo dm_control_info(const std::string& name);

// Cartpole, cheetah, walker, hopper and humanoid.
void add_dm_control(Registry& registry);
void add_dm_control_dog(Registry& registry);

}  // namespace meander
