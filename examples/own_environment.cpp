// A task of your own with every verb of the command: register it and hand over the command line.
//
//   ninja -C build/release example_own_environment        (or in a project of yours: find_package(Meander COMPONENTS
//   program=build/release/examples/example_own_environment                        command) and link Meander::command)
//   $program train --algo mfpo --env Parking --steps 5000 --set start_steps=500 --out runs/parking
//   $program eval runs/parking
//   $program plot runs/parking
#include <meander/app/command.h>
#include <meander/envs/environments.h>

#include <array>

namespace {

using namespace meander;

// A car on a line is to stop at 0 within 40 steps of 0.1 s; the action is its acceleration, in [-2, 2] m/s^2.
//   v <- v + 0.1 a,  x <- x + 0.1 v,  reward = -(x^2 + 0.1 v^2 + 0.01 a^2)
class Parking final : public Environment {
 public:
  explicit Parking(const std::string& name) {
    info_.name = name;
    info_.observations = 2;
    info_.actions = 1;
    info_.action_low = {-2};
    info_.action_high = {2};
    info_.time_limit = 40;
    info_.v_min = -100;  // returns lie in between: the support of MFPO's critic
    info_.v_max = 10;
    info_.source = "examples/own_environment.cpp";
  }

  const EnvironmentInfo& info() const override { return info_; }
  void reset(Stream& random) override {
    state_ = {random.uniform(-2, 2), random.uniform(-1, 1)};
    steps_ = 0;
  }
  Step step(std::span<const double> action) override {
    check_action(action);
    auto& [x, v] = state_;
    v += 0.1 * action[0];
    x += 0.1 * v;
    const double cost = x * x + 0.1 * v * v + 0.01 * action[0] * action[0];
    return {.reward = -cost, .terminated = false, .truncated = ++steps_ >= info_.time_limit};
  }
  std::span<const double> observation() const override { return state_; }

  // All that the next steps depend on, so that a run that was stopped goes on with the same bits.
  std::vector<double> save() const override { return {state_[0], state_[1], static_cast<double>(steps_)}; }
  void load(std::span<const double> state) override {
    if (state.size() != 3) throw Error(info_.name + ": expected a state of 3 numbers");
    state_ = {state[0], state[1]};
    steps_ = static_cast<int>(state[2]);
  }

 private:
  EnvironmentInfo info_;
  std::array<double, 2> state_{};  // position, velocity
  int steps_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  register_environment("Parking", [](const std::string& name) { return std::make_unique<Parking>(name); });
  return command(argc, argv);
}
