// A program of someone else's with the installed component `command`. Without arguments: a run of its own loop, recorded
// in the folder `recorded`; with arguments: the verbs, which know its environment.
#include <meander/algos/training.h>
#include <meander/app/command.h>
#include <meander/app/run_recorder.h>
#include <meander/app/worlds.h>
#include <meander/envs/environments.h>

#include <memory>

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
