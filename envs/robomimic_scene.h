#pragma once

#include <meander/envs/mujoco.h>

namespace meander {

enum class RobomimicTask { lift, can, square };

// What all environments of one task share: the compiled model without anything that is only seen, and what is looked up
// in it once.
struct RobomimicScene {
  SharedModel model;
  int grip_site, hand_body, object_body;
  int cube_geom;  // lift only, else -1

  explicit RobomimicScene(RobomimicTask task);  // throws Error if the task files are missing
};

// Compiled at the first call (some ten milliseconds) and kept. A second time only if the folder of the files was changed.
const RobomimicScene& robomimic_scene(RobomimicTask task);

// The same bodies and joints with the package's meshes, materials and textures: for drawing. Throws Error if their files
// are missing.
SharedModel robomimic_drawn_model(RobomimicTask task);

}  // namespace meander
