#pragma once

#include <memory>
#include <string>

#include <meander/algos/agent.h>
#include <meander/app/run_config.h>

namespace meander {

// An agent as a checkpoint holds it, and the task for it to act in, with the settings of config.task.
struct TrainedAgent {
  std::string path, step;  // the checkpoint, and after which step it was written
  RunConfig config;        // of its run
  std::string task;
  std::unique_ptr<Agent> agent;
};

// Loads what a run folder (its last checkpoint, or the best if there is no last) or a checkpoint file holds.
// `environment`: where to act; empty: where the agent was trained. `seed` names the random numbers of its actions.
// Throws Error if there is no checkpoint, it is damaged, or the environment has other dimensions.
TrainedAgent load_trained(const std::string& what, const std::string& environment, uint64_t seed);

}  // namespace meander
