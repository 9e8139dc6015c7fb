#pragma once

#include <meander/app/replay_report.h>
#include <meander/envs/robomimic.h>

namespace meander {

// Part of verify_environment: what recordings of robomimic hold beside a model.
//   hull           which meshes that can touch have a convex hull: equal
//   seeded reset   the whole reset from the package's seed: the cube's size, the arm's posture, the state before and after
//                  the reset's last mj_forward, equal bit for bit
//   qpos qvel      of a run in which every time step gets the recorded torques: equal bit for bit
//   obs            4e-15; the object's rotation in the hand's frame (obs/rotation) 2e-6, for which the package takes an
//                  eigenvector of a float32 matrix; its sign is free where its real part is nearly 0
//   ctrl           what the controller itself would have given in each time step, 1e-9 N m; near a singular pose of the
//                  arm (condition above 1e4) 1e-6, for rounding grows with the condition
//   grip           targets of the fingers: equal
//   reward         the package's own, which is the environment's plus 1, and terminated, truncated: equal
// Elsewhere than on x86-64 the first steps are compared to 1e-6.
void compare_robomimic_model(const SafetensorsFile& file, Robomimic& environment, ReplayReport& report);
void replay_robomimic(const SafetensorsFile& file, const RecordedEpisode& episode, Robomimic& environment,
                      ReplayReport& report);

}  // namespace meander
