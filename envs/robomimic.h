#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <meander/envs/draws.h>
#include <meander/envs/mersenne_twister.h>
#include <meander/envs/mujoco.h>
#include <meander/envs/operational_space.h>
#include <meander/envs/registry.h>
#include <meander/envs/robomimic_scene.h>

namespace meander {

// Robomimic's lift, can and square from low-dimensional states, as Q-chunking and MVP use them: the tasks Lift,
// PickPlaceCan and NutAssemblySquare of robosuite 1.5.1, a Panda arm under operational-space control at 20 Hz. The names
// are robomimic-lift, robomimic-can and robomimic-square.
//
// An action moves the hand (.05 m an axis, .5 rad about an axis, at +-1; beyond that it is clipped) and closes the
// fingers (its last number above 0) or opens them (below 0).
//
// The reward is what these methods train on, 0 where the task is done and -1 elsewhere (the package's own, less 1); an
// episode ends with success.
class Robomimic final : public MujocoEnvironment {
 public:
  static constexpr int actions = 7, arm_joints = OperationalSpaceController::joints;
  static constexpr int substeps = 25;  // of .002 s
  static constexpr int first_object = 9;  // in the positions, after the arm and the fingers
  // m: the tables of lift and square, a peg, the middle of the bin for the can.
  static constexpr double table_height = 0.8, peg_table_height = 0.82;
  static constexpr std::array<double, 2> peg{0.23, 0.1}, bin{0.1975, 0.4025};

  // Throws Error if the task files are missing.
  explicit Robomimic(const std::string& name);

  // Throws Error if a number of the action is not finite.
  Step step(std::span<const double> action) override;

  RobomimicTask task() const { return task_; }
  bool success() const { return measured() == 1; }  // after the last step
  std::span<const double> posture() const { return memory_.posture; }  // rad, [7]: what the arm's null space is pulled to
  std::span<const double> cube_half_size() const { return memory_.cube; }  // m, [3]; lift only
  SharedModel drawn_model() const override;

  // A reset drawn from the package's generator, which qc seeds once (numpy.random.seed) and which goes on from reset to
  // reset: the same bits. Returns the simulation state before the reset's last mj_forward.
  std::vector<double> reset_as_package(MersenneTwister& generator);

  // What a controller did in one time step.
  struct Substep {
    std::array<double, arm_joints + 2> controls;  // torques of the arm, N m; targets of the fingers, m
    double condition;                       // of the controller's inertia (operational_space.h)
  };
  // A step in which the arm gets recorded torques ([25, 7], N m); `own` gets what the controller would have given.
  Step replay(std::span<const double> action, std::span<const double> torques, std::span<Substep> own);

  // Puts the simulator to a recorded state (time, qpos, qvel: 1 + nq + nv numbers) and observes it, as robomimic makes
  // its data sets from recorded states. `first`: of an episode, so that no earlier observation counts, and with the
  // arm's joints as its posture, as a reset leaves them; else it goes on from where it is. Throws Error if the size is
  // wrong.
  void put(std::span<const double> recorded_state, bool first);
  // Lift's cube for the states to come, m. Throws Error unless each is in (0, 1).
  void set_cube_half_size(std::span<const double> half_size);

  // Everything a reset draws, in the package's order.
  struct Start {
    std::array<double, 3> cube{};      // half sizes, m
    std::array<double, arm_joints> posture{};
    struct Place { double x, y, z, angle; } object{};
  };
  Start draw(Draws& draws) const;

 private:
  explicit Robomimic(RobomimicTask task);
  Robomimic(RobomimicTask task, const RobomimicScene& scene, std::shared_ptr<mjModel_> own);
  void randomise(Stream& random) override;
  void forward() override;
  void observe(ObservationWriter& out) const override;
  double measure() const override;  // 1 if the task is done
  std::vector<std::span<double>> derived() const override;
  void prepare_loaded() override;
  void start(const Start& start);
  void resize_cube();
  void sample();
  Step advance(std::span<const double> action, std::span<const double> torques, std::span<Substep> own);
  double control_finger(int finger) const;
  bool done() const;

  struct DeleteData { void operator()(mjData_*) const; };
  RobomimicTask task_;
  const RobomimicScene& scene_;
  mjModel_* own_model_;  // lift: this environment's, whose cube is of another size in each episode; else nullptr
  std::unique_ptr<mjData_, DeleteData> scratch_;  // lift: to compute what follows from the size
  OperationalSpaceController controller_;

  // What the next steps read besides MuJoCo's state. Mutable for derived(), which also saves.
  struct Memory {
    std::array<double, 3> cube{};                         // lift: half sizes, m
    std::array<double, arm_joints> posture{};
    OperationalSpaceController::MassMatrix first_mass{};  // of the reset: for the first torques of an episode
    std::array<double, 2> fingers{};                      // -1 to 1: what is asked of them
    std::array<double, 7> seen{};                         // the object's pose in the last observation, x y z w
  };
  mutable Memory memory_;
  std::array<double, 23> sampled_{};                             // the observation
};

// Nothing if the name is not one of these tasks.
std::optional<RobomimicTask> robomimic_task(const std::string& name);
// What is known of a task without its files, likewise.
std::optional<EnvironmentInfo> robomimic_info(const std::string& name);

// Whether the task files are here, and those that pictures need beside.
bool has_robosuite_assets();
bool has_robosuite_pictures();

void add_robomimic(Registry& registry);

}  // namespace meander
