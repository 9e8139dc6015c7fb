// A program of someone else's, with nothing but the installed library: an environment of its own, trained by MFPO
// through the library's loop, its policy saved and asked for an action.
#include <meander/algos/mfpo.h>
#include <meander/algos/training.h>

#include <cstdio>

using namespace meander;

namespace {

// One number to be driven to zero in ten steps.
class Point final : public Environment {
 public:
  Point() {
    info_.name = "Point";
    info_.observations = info_.actions = 1;
    info_.action_low = {-1};
    info_.action_high = {1};
    info_.time_limit = 10;
  }
  const EnvironmentInfo& info() const override { return info_; }
  void reset(Stream& random) override { x_ = random.uniform(-1, 1), steps_ = 0; }
  Step step(std::span<const double> action) override {
    x_ += 0.5 * action[0];
    return {-x_ * x_, false, ++steps_ >= 10};
  }
  std::span<const double> observation() const override { return {&x_, 1}; }
  std::vector<double> save() const override { return {x_, double(steps_)}; }
  void load(std::span<const double> state) override { x_ = state[0], steps_ = int(state[1]); }

 private:
  EnvironmentInfo info_;
  double x_ = 0;
  int steps_ = 0;
};

}  // namespace

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
