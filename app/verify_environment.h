#pragma once

#include <vector>

#include <meander/app/check_line.h>
#include <meander/core/safetensors.h>

namespace meander {

// True for a golden of an environment: a file whose metadata holds a task and a family.
bool is_environment_golden(const SafetensorsFile& file);

// Replays every episode of a golden through make_environment(task) and compares, quantity by quantity:
//   limit, model/*   the time limit and the compiled model: equal (the mass, a sum, to 1e-12)
//   seeded reset     dm_control only: the whole reset from the seed of the package's generator, equal bit for bit, but
//                    1e-9 for the humanoid, whose quaternion depends on the processor
//   reset/*          state and observation after the reset's last mj_forward, from the state before it
//   qpos qvel act    after every recorded step of a free run: equal bit for bit
//   obs              equal bit for bit; 4 units in the last place where the task takes sines, cosines or logarithms, 64
//                    where it turns vectors: the package does so through BLAS, whose sums depend on the processor
//   reward           1e-12 max(1, |r|): the order of sums differs from the package's
//   terminated, truncated   at every step
//   goal, start      OGBench only, of a reset of the environment's own: the targets equal, the cubes as far from the
//                    recorded ones as two draws may be
//   ctrl             OGBench only: what the controller makes of each action, to 1e-9. The run goes on with the recorded
//                    one: with contact a difference of 1e-15 there would be one of 1e-3 after the step
// Recordings of robomimic have other quantities: verify_robomimic.h. Bit equality needs the library and the kind of CPU the file was recorded with; elsewhere than on x86-64 the first
// steps are compared to 1e-6.
// Throws Error if the file is malformed, its task unknown, or its family one without environments here.
std::vector<CheckLine> verify_environment(const SafetensorsFile& file);

}  // namespace meander
