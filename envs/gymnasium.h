#pragma once

#include <string>

#include <meander/envs/mujoco.h>
#include <meander/envs/registry.h>

namespace meander {

// The tasks of Gymnasium 1.2.3 on MuJoCo, the same numbers step for step. A control step sets ctrl to the raw action
// (MuJoCo clamps the force, the cost uses what was asked), takes frame_skip time steps and computes contact forces
// once. mj_forward is not called after it, so qpos and qvel are fresh while everything derived from them (positions of
// bodies, inertias, forces) belongs to the last stage of the integrator: the package reads them so.
//
// v3 of the package ran on MuJoCo 2.1, where the contact forces in observations came out as zeros; here v3 is v4 with
// those zeros.
class GymnasiumEnvironment : public MujocoEnvironment {
 public:
  Step step(std::span<const double> action) final;

 protected:
  struct Task {
    const char* model_file;
    int frame_skip;
    int observations;
    int time_limit = 1000;
    double v_min = -1600, v_max = 1600;
    bool clipped_double_q = true;
  };
  GymnasiumEnvironment(const std::string& name, const Task& task);

  struct Outcome {
    double reward;
    bool terminated = false;
  };
  // The reward of the step that led from a state with measure() == before to the present one with `now`.
  virtual Outcome judge(std::span<const double> action, double before, double now) const = 0;

  int version() const { return version_; }  // 3, 4 or 5
  // Noise around the model's default pose, and around rest.
  void uniform_positions(Stream& random, double bound);
  void uniform_velocities(Stream& random, double bound);
  void normal_velocities(Stream& random, double deviation);
  double velocity_of(double before, double now) const { return (now - before) / control_interval(); }

 private:
  int version_;
};

double sum_of_squares(std::span<const double> x);

// HalfCheetah, Hopper, Walker2d, Ant, Swimmer, Humanoid, HumanoidStandup.
void add_gymnasium_locomotion(Registry& registry);
// InvertedPendulum, InvertedDoublePendulum, Reacher, Pusher.
void add_gymnasium_control(Registry& registry);

}  // namespace meander
