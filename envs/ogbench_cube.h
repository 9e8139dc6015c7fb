#pragma once

#include <array>
#include <optional>
#include <string>

#include <meander/envs/arm_controller.h>
#include <meander/envs/mujoco.h>
#include <meander/envs/registry.h>

namespace meander {

struct CubeName;   // what a task's name says
struct CubeScene;  // the compiled models and what is looked up in them once; all environments share it

// OGBench's cube tasks (ogbench 1.2.2, states, not pixels): a UR5e arm with a Robotiq 2F-85 gripper carries one, two or
// three cubes to their targets. An action moves the gripper relative to where it is; a controller turns that into joint
// angles, which the arm's motors follow for 25 time steps.
//
//   cube-double-play-singletask-task2-v0   a fixed task, 1 to 5; the reward is the number of cubes in place minus all
//   cube-double-play-singletask-v0         OGBench's default task, 2
//   cube-double-v0                         any of the five, cubes in any order; the reward is 1 when all are in place.
//                                          The goal is no part of the observation
//
// "-play" may be left out. Reward and end of a fixed task belong to the state before the step, so that one more step is
// taken after success, as in ogbench from 1.2.0 on; with "-post" added they belong to the state after it, as before.
class OgbenchCube final : public MujocoEnvironment {
 public:
  static constexpr int actions = 5, controls = 7, most_cubes = 3;
  static constexpr int first_cube = 14;  // in the positions, after 6 joints of the arm and 8 of the gripper; 7 a cube
  using Controls = std::array<double, controls>;  // the arm's joint angles, and the gripper from 0 to 255

  // Throws Error if the task files are missing.
  explicit OgbenchCube(const std::string& name);

  // Throws Error if a number of the action is not finite.
  Step step(std::span<const double> action) override;

  int cubes() const { return cubes_; }

  // Everything a reset draws, in the package's order.
  struct Draws {
    struct Cube { double x, y, yaw; };         // moved by so much from the task's place, and turned
    int task = 0;                              // 1 to 5
    std::array<int, most_cubes> order{};       // cube i stands where the task says for cube order[i]
    std::array<double, 4> goal_pinch{}, pinch{};  // x, y, z, yaw
    std::array<Cube, most_cubes> cubes{};
    std::array<std::array<double, actions>, 2> goal_actions{};
  };
  // A reset with given draws, for tests.
  void start_with(const Draws& draws);

  // For collecting data. An episode of no task begins: the arm and the cubes are anywhere, the targets out of the way.
  void scatter(Stream& random);
  struct Gripper {
    std::array<double, 3> position;  // m, of the pinch between the fingers
    double yaw;                      // rad, in [-pi, pi]
    double opening;                  // 0 to 1: closed
  };
  Gripper gripper() const;           // as the controller sees it: the pinch one time step late
  Pose cube(int index) const;
  double time() const;               // s, since the episode began
  // Where a gripper that wants to be at `position` may be, and where a cube is put down: the corners of boxes, in m.
  static constexpr std::array<double, 3> gripper_low{0.25, -0.35, 0.2}, gripper_high{0.6, 0.35, 0.35};
  static constexpr std::array<double, 2> cube_low{0.3, -0.3}, cube_high{0.55, 0.3};
  static constexpr double cube_height = 0.02, cube_size = 0.04;  // m: of the centre of one on the table, of an edge
  // What an action of 1 asks for: m, m, m, rad, share of the opening.
  static constexpr std::array<double, actions> action_scale{0.05, 0.05, 0.05, 0.3, 1};

  // The two halves of step, for replaying recordings: what the controller makes of an action, and the simulation of it.
  Controls control(std::span<const double> action);
  Step simulate(std::span<const double> controls);

 private:
  OgbenchCube(const std::string& name, const CubeName& parsed, const CubeScene& scene);
  void randomise(Stream& random) override;
  void observe(ObservationWriter& out) const override;
  double measure() const override;                            // 1 if all cubes were in place after a step
  std::vector<std::span<double>> derived() const override;    // the pinch, which the controller reads a time step late
  Draws draw(Stream& random) const;
  void place(const Draws& draws);
  void place_arm(const std::array<double, 4>& pinch);
  void place_cube(int cube, std::span<const double> position, double yaw);
  void advance(std::span<const double> controls);
  double pinch_yaw() const;
  double opening() const;
  int placed() const;
  Step judge() const;

  const CubeScene& scene_;
  ArmController arm_;
  int cubes_, task_;
  bool post_;  // reward and end belong to the state after the step
};

// What is known of a task without its files; nothing if the name is not one of these tasks.
std::optional<EnvironmentInfo> ogbench_cube_info(const std::string& name);

// What a task says of recorded states: OGBench's relabelling of play data, which itself belongs to no task.
class CubeTask {
 public:
  CubeTask(int cubes, int number) : cubes_(cubes), number_(number) {}
  int positions() const { return OgbenchCube::first_cube + 7 * cubes_; }  // nq
  struct Verdict {
    double reward;  // cubes in place minus all
    bool success;   // all are
  };
  Verdict judge(std::span<const float> positions) const;  // [nq]

 private:
  int cubes_, number_;
};
// Nothing if the name is not one of a fixed task.
std::optional<CubeTask> fixed_cube_task(const std::string& name);

// Whether the task files are here.
bool has_ogbench_assets();

// The names above, each written in one way.
void add_ogbench_cubes(Registry& registry);

}  // namespace meander
