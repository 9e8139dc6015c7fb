#pragma once

#include <memory>
#include <string>
#include <vector>

#include <meander/core/environment.h>

namespace meander {

// How a task is played: what wrappers around environments are used for elsewhere.
struct TaskSettings {
  int64_t action_repeat = 1;                  // control steps that take the same action; their rewards are summed
  int64_t time_limit = 0;                     // control steps of an episode; 0: the task's own
  std::string observation_scaling = "none";   // none, standard

  bool plain() const { return action_repeat == 1 && time_limit == 0 && observation_scaling == "none"; }
};

// Subtracts from each number of an observation its mean and divides by its deviation.
struct ObservationScaling {
  std::vector<float> mean, deviation;  // [S]; of a number that never changed the deviation is 1
};

// Means and deviations over `steps` steps of uniformly random actions: the same for the same task and seed.
ObservationScaling measure_observations(Environment& environment, uint64_t seed, int64_t steps = 5000);

// An environment in front of another.
class Wrapped final : public Environment {
 public:
  // `scaling`: nothing to leave observations as they are.
  Wrapped(std::unique_ptr<Environment> inner, const TaskSettings& settings, ObservationScaling scaling = {});

  const EnvironmentInfo& info() const override { return info_; }  // time_limit in steps of this one
  void reset(Stream& random) override;
  Step step(std::span<const double> action) override;
  std::span<const double> observation() const override { return observation_; }
  std::vector<double> save() const override;
  void load(std::span<const double> state) override;
  Environment& unwrapped() override { return inner_->unwrapped(); }

 private:
  void observe();

  std::unique_ptr<Environment> inner_;
  EnvironmentInfo info_;
  int64_t repeat_, limit_;   // limit: 0: the inner one's
  int64_t steps_ = 0;        // control steps of the inner one in this episode
  std::vector<double> observation_;
};

// The task as `settings` say; `seed` names the random steps that an observation scaling is measured with.
std::unique_ptr<Environment> make_environment(const std::string& name, const TaskSettings& settings, uint64_t seed);

}  // namespace meander
