#include <meander/envs/wrapped.h>

#include <algorithm>
#include <cmath>

#include <meander/envs/environments.h>

namespace meander {

ObservationScaling measure_observations(Environment& environment, uint64_t seed, int64_t steps) {
  const EnvironmentInfo& info = environment.info();
  Stream resets(seed, Purpose::scaling_reset, 0), actions(seed, Purpose::scaling_action, 0);
  std::vector<double> action(static_cast<size_t>(info.actions));
  const auto size = static_cast<size_t>(info.observations);
  std::vector<double> mean(size), squares(size);
  environment.reset(resets);
  for (int64_t n = 1; n <= steps; ++n) {
    for (size_t i = 0; i < action.size(); ++i) action[i] = actions.uniform(info.action_low[i], info.action_high[i]);
    const Step result = environment.step(action);
    const std::span<const double> seen = environment.observation();
    for (size_t i = 0; i < size; ++i) {  // Welford's sums: a mean far from 0 costs no digits
      const double difference = seen[i] - mean[i];
      mean[i] += difference / static_cast<double>(n);
      squares[i] += difference * (seen[i] - mean[i]);
    }
    if (result.terminated || result.truncated) environment.reset(resets);
  }
  ObservationScaling scaling{{mean.begin(), mean.end()}, {}};
  for (const double square : squares) {
    const double deviation = std::sqrt(square / static_cast<double>(steps));
    scaling.deviation.push_back(deviation < 1e-8 ? 1.0f : static_cast<float>(deviation));
  }
  return scaling;
}

Wrapped::Wrapped(std::unique_ptr<Environment> inner, const TaskSettings& settings, ObservationScaling scaling)
    : inner_(std::move(inner)),
      info_(inner_->info()),
      repeat_(settings.action_repeat),
      limit_(settings.time_limit),
      observation_(static_cast<size_t>(info_.observations)) {
  const int64_t limit = limit_ > 0 ? limit_ : info_.time_limit;
  info_.observation_mean = std::move(scaling.mean);
  info_.observation_deviation = std::move(scaling.deviation);
  info_.time_limit = static_cast<int>((limit + repeat_ - 1) / repeat_);
  observe();
}

void Wrapped::reset(Stream& random) {
  inner_->reset(random);
  steps_ = 0;
  observe();
}

Step Wrapped::step(std::span<const double> action) {
  Step all;
  for (int64_t i = 0; i < repeat_ && !all.terminated && !all.truncated; ++i) {
    const Step one = inner_->step(action);
    all.reward += one.reward;
    all.terminated = one.terminated;
    all.truncated = limit_ > 0 ? ++steps_ >= limit_ : one.truncated;
  }
  observe();
  return all;
}

void Wrapped::observe() {
  const std::span<const double> seen = inner_->observation();
  std::copy(seen.begin(), seen.end(), observation_.begin());
  const auto &mean = info_.observation_mean, &deviation = info_.observation_deviation;
  for (size_t i = 0; i < mean.size(); ++i)
    observation_[i] = (static_cast<float>(observation_[i]) - mean[i]) / deviation[i];
}

std::vector<double> Wrapped::save() const {
  std::vector<double> state = inner_->save();
  state.push_back(static_cast<double>(steps_));
  return state;
}

void Wrapped::load(std::span<const double> state) {
  if (state.empty()) throw Error(info_.name + ": the state is empty");
  inner_->load(state.first(state.size() - 1));
  steps_ = steps_in_state(state.back());
  observe();
}

std::unique_ptr<Environment> make_environment(const std::string& name, const TaskSettings& settings, uint64_t seed) {
  auto environment = make_environment(name);
  if (settings.plain()) return environment;
  ObservationScaling scaling;
  if (settings.observation_scaling == "standard") scaling = measure_observations(*environment, seed);
  return std::make_unique<Wrapped>(std::move(environment), settings, std::move(scaling));
}

}  // namespace meander
