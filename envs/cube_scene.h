#pragma once

#include <array>
#include <memory>

#include <meander/envs/arm_controller.h>

struct mjModel_;

namespace meander {

// What all environments with so many cubes share: the compiled models, and what is looked up in them once.
struct CubeScene {
  std::shared_ptr<const mjModel_> model, arm;
  int pinch, pad;              // the site between the fingers, the body of the right finger's pad
  int driver;                  // the gripper's joint, in qpos
  Pose flange_in_pinch;        // the site the controller moves, seen from the pinch; they never move to each other

  explicit CubeScene(int cubes);  // throws Error if the task files are missing
};

// The scene with so many cubes: compiled at the first call (half a second) and kept. A second time only if the folder
// of the files was changed.
const CubeScene& scene_with(int cubes);

std::array<double, 4> rotation_of_matrix(const double* matrix);  // [9], row-major

}  // namespace meander
