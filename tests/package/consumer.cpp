// A program of someone else's, with nothing but the installed library: an environment of its own, trained by MFPO
// through the library's loop, its policy saved and asked for an action.
#include <meander/algos/mfpo.h>
#include <meander/algos/training.h>

#include <cstdio>

#include "point.h"

using namespace meander;

int main() {
  MfpoSettings settings;
  settings.batch_size = 16;
  settings.actor_width = settings.critic_width = 16;
  settings.v_min = -10;
  settings.v_max = 10;
  Mfpo agent(1, 1, settings, 0);
  TrainingSettings loop;
  loop.steps = 40;
  loop.start_steps = 21;
  loop.replay_capacity = 100;
  Point point, evaluation_point;
  Observer nobody;
  Training training(loop, agent, {&point}, {&evaluation_point});
  training.run(nobody);

  SafetensorsWriter writer;
  agent.save(writer);
  writer.write("consumer.safetensors");
  Mfpo loaded(1, 1, settings, 0);
  loaded.load(SafetensorsFile("consumer.safetensors"));
  const float state = 0.5f;
  float action = 2, same = 3;
  agent.act({&state, 1}, 1, {&action, 1});
  loaded.act({&state, 1}, 1, {&same, 1});
  std::printf("%g\n", double(action));
  return training.step() == 40 && action == same && action >= -1 && action <= 1 ? 0 : 1;
}
