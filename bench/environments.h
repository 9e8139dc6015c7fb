#pragma once

#include "bench/cases.h"

// Steps of the environments, Meander's own and MuJoCo alone on the same episodes, and a training run in one.
namespace meander::bench {

// environment_step/HalfCheetah-v4, ...; the second list is of those whose controls stand for a whole step, the third environment_steps/....
// Tasks whose files come at their first use are among them where those are on this machine.
std::vector<std::string> environment_case_names();
std::vector<std::string> raw_step_case_names();
std::vector<std::string> side_by_side_case_names();

// One call is one control step of a recorded sequence of episodes under random actions; where an episode ends, the
// state in which the next began is loaded. flop and bytes are 0: it is steps a second that count.
Case make_environment_case(const std::string& name);
// The same through mj_step alone (frame_skip of them, with the controls that the environment set) over the
// environment's own model: no observation, no reward, no end, no contact forces, no controller. Throws Failure if its
// states are not the environment's bit for bit.
Case make_raw_step_case(const std::string& name);
// One call is a control step of each of `side_by_side` environments of the task, spread over the kernels' threads as
// evaluations spread theirs. Each is at another place of the recorded sequence.
inline constexpr int side_by_side = 8;
Case make_side_by_side_case(const std::string& name);

// One call is a whole training run on one thread, with the seeds 0, 1, 2, ...: SAC on Pendulum, 10,000 steps with an
// update each, RLtools' settings of that task.
inline const std::string training_case_name = "sac_pendulum/10000";
Case make_training_case();

}  // namespace meander::bench
