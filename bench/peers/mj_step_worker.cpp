// peer_mj_step: MuJoCo's mj_step alone, on the states and actions of Meander's environments.
#include <mujoco/mujoco.h>

#include "bench/environments.h"
#include "bench/peers/protocol.h"

using namespace meander::bench;

int main(int argc, char** argv) {
  return serve(argc, argv, [](const WorkerOptions&) {
    return Worker{.who = "mj_step",
                  .version = std::string("MuJoCo ") + mj_versionString(),
                  .note = "frame_skip times mj_step, no observation, reward or contact forces",
                  .cases = raw_step_case_names(),
                  .make = [](const std::string& name, const Data&) { return make_raw_step_case(name); }};
  });
}
