// A program of someone else's with the installed component `command`. Without arguments: a run of its own loop,
// recorded in the folder `recorded`; with arguments: the verbs, which know its environment.
#include <meander/algos/training.h>
#include <meander/app/command.h>
#include <meander/app/run_recorder.h>
#include <meander/app/worlds.h>
#include <meander/envs/environments.h>

#include <memory>

#include "point.h"

using namespace meander;

int main(int argc, char** argv) {
  register_environment("Point", [](const std::string&) { return std::make_unique<Point>(); });
  if (argc > 1) return command(argc, argv);

  RunConfig config = resolve("sac", "Point", nullptr,
                             {parse_assignment("steps=60"), parse_assignment("start_steps=21"),
                              parse_assignment("batch_size=16"), parse_assignment("width=8"),
                              parse_assignment("replay_capacity=100")});
  const Worlds worlds(config.environment, 1), evaluation(config.environment, 1);
  const auto agent = config.algorithm_settings->make_agent(1, 1, 0);
  Training training(config.training, *agent, worlds.all(), evaluation.all());
  RunRecorder recorder(create_run_folder("recorded", config), config, training, *agent, nullptr, true);
  training.run(recorder);
  return training.step() == 60 ? 0 : 1;
}
