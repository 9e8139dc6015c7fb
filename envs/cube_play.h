#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include <meander/core/random.h>
#include <meander/envs/ogbench_cube.h>

namespace meander {

// The scripted policy of OGBench's play data (PlanOracle and set_new_target in ogbench 1.2.2): again and again it chooses
// a cube on which no other lies and a place for it, on the table or on another cube, and carries it there along a plan: a
// gripper's pose at keyframes with random times between, interpolated, with noise that is correlated in time. Its actions
// are the differences from the plan, so what the arm has missed it makes up for.
class CubePlay {
 public:
  static constexpr int episode_steps = 1001;

  // At the beginning of an episode (OgbenchCube::scatter), which has its own probability of stacking.
  CubePlay(const OgbenchCube& cubes, Stream random);

  // The next action, in [-1, 1]. Where a plan has ended the next one begins.
  std::array<double, OgbenchCube::actions> act();

 private:
  struct Keyframe {
    std::array<double, 3> position;
    double yaw, grasp, time;  // rad, 0 (open) to 1, s since the plan's beginning
  };
  struct Target { int cube; std::array<double, 3> position; double yaw; };
  using Setpoint = std::array<double, OgbenchCube::actions>;  // x, y, z, yaw, opening

  Target choose_target(double stacking);
  std::vector<Keyframe> keyframes(const Target& target);
  void make_plan(const std::vector<Keyframe>& frames);

  const OgbenchCube& cubes_;
  Stream random_;
  double stacking_;   // the probability that a cube goes onto another
  double interval_;   // s, of one action
  double began_ = 0;  // s
  bool done_ = false;
  std::vector<Setpoint> plan_;  // one each interval
};

// The number of cubes of OGBench's data sets cube-single-play, cube-double-play and cube-triple-play, with or without
// the -v0 at the end; nothing for other names.
std::optional<int> play_data_cubes(const std::string& name);

}  // namespace meander
