#include "algos/training.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "core/random.h"
#include "kernels/philox.h"

namespace meander {

namespace {

constexpr int support_window = 1000;        // updates
constexpr double clipped_share_allowed = 0.01;

kernels::RandomKey key(int64_t seed, Purpose purpose, int64_t step) {
  return {static_cast<uint64_t>(seed), static_cast<uint32_t>(purpose), static_cast<uint64_t>(step)};
}

bool all_finite(std::span<const double> values) {
  return std::all_of(values.begin(), values.end(), [](double x) { return std::isfinite(x); });
}

}  // namespace

std::vector<Setting> TrainingSettings::settings() {
  return {
      {"seed", &seed, "", "names every random number of the run", 0, 9e15, {}},
      {"steps", &steps, "steps", "environment steps in all", 1, 1e12, {}},
      {"start_steps", &start_steps, "steps",
       "the first step that takes the agent's action and is followed by an update", 1, 1e12, {}},
      {"replay_capacity", &replay_capacity, "transitions", "what the replay holds before old ones go", 1, 1e9, {}},
      {"evaluation_interval", &evaluation_interval, "steps",
       "between evaluations; there is one at the last step too", 1, 1e12, {}},
      {"evaluation_episodes", &evaluation_episodes, "episodes", "in each evaluation", 1, 1e6, {}},
      {"log_interval", &log_interval, "steps", "between lines of averaged update metrics", 1, 1e12, {}},
      {"checkpoint_interval", &checkpoint_interval, "steps",
       "between checkpoints, which hold the replay; there is one at the end and at Ctrl-C too", 1, 1e12, {}},
  };
}

// ---- evaluation -----------------------------------------------------------------------------------------------------

double Evaluation::mean() const {
  double sum = 0;
  for (double r : returns) sum += r;
  return sum / static_cast<double>(returns.size());
}

double Evaluation::deviation() const {
  const double centre = mean();
  double sum = 0;
  for (double r : returns) sum += (r - centre) * (r - centre);
  return std::sqrt(sum / static_cast<double>(returns.size()));
}

double Evaluation::lowest() const { return *std::min_element(returns.begin(), returns.end()); }
double Evaluation::highest() const { return *std::max_element(returns.begin(), returns.end()); }

std::optional<Evaluation> evaluate(Agent& agent, Environment& environment, int64_t episodes, uint64_t seed,
                                   int64_t at_step, const std::function<bool()>& stop) {
  // Streams of an evaluation: its step, then a number below 2^24 for the episode or the action within it.
  const uint64_t first = static_cast<uint64_t>(at_step) << 24;
  uint64_t actions = 0;
  std::vector<float> observation(static_cast<size_t>(environment.info().observations));
  std::vector<float> action(static_cast<size_t>(environment.info().actions));
  Evaluation evaluation;
  for (int64_t episode = 0; episode < episodes; ++episode) {
    Stream random(seed, Purpose::evaluation_reset, first + static_cast<uint64_t>(episode));
    environment.reset(random);
    double episode_return = 0;
    for (bool over = false; !over;) {
      if (stop && stop()) return std::nullopt;
      std::copy(environment.observation().begin(), environment.observation().end(), observation.begin());
      agent.act(observation, first + actions++, action);
      const Step result = environment.act(action);
      episode_return += result.reward;
      over = result.terminated || result.truncated;
    }
    evaluation.returns.push_back(episode_return);
  }
  return evaluation;
}

// ---- the loop -------------------------------------------------------------------------------------------------------

Training::Training(const TrainingSettings& settings, Agent& agent, Environment& environment,
                   Environment& evaluation_environment)
    : settings_(settings), agent_(agent), environment_(environment), evaluation_environment_(evaluation_environment),
      replay_(1, settings.replay_capacity, environment.info().observations, environment.info().actions),
      best_return_(-std::numeric_limits<double>::infinity()) {
  const int64_t B = agent.batch_size(), S = agent.observations(), A = agent.actions();
  const EnvironmentInfo& info = environment.info();
  if (S != info.observations || A != info.actions)
    throw Error(message(info.name, " has ", info.observations, " observations and ", info.actions,
                        " actions, the agent expects ", S, " and ", A));
  observation_.resize(S);
  next_observation_.resize(S);
  action_.resize(A);
  metrics_.resize(agent.metric_names().size());
  metric_sums_.resize(metrics_.size());
  means_.resize(metrics_.size());

  batch_memory_.resize(B * (S + A + 1 + 1 + S));
  float* next = batch_memory_.data();
  const auto take = [&](int64_t cols) { return view(std::exchange(next, next + B * cols), B, cols); };
  batch_ = {.state = take(S), .action = take(A), .reward = take(1), .mask = take(1), .next_state = take(S)};
  begin_episode();
}

void Training::run(Observer& observer) {
  int64_t last_checkpoint = step_;
  while (true) {
    const bool at_end = step_ >= settings_.steps;
    const bool evaluation_due = step_ > 0 && (step_ % settings_.evaluation_interval == 0 || at_end);
    bool stop = evaluation_due && last_evaluation_ != step_ && !evaluate_now(observer);
    observer.step_done(step_);
    stop = stop || at_end || observer.stop();
    if (last_checkpoint != step_ && (stop || step_ % settings_.checkpoint_interval == 0)) {
      observer.checkpoint(step_);
      last_checkpoint = step_;
    }
    if (stop) return;
    advance(observer);
  }
}

void Training::advance(Observer& observer) {
  ++step_;

  // Act: at random at first, then as the agent explores.
  if (step_ < settings_.start_steps) {
    kernels::philox_uniform(key(settings_.seed, Purpose::random_action, step_), std::ssize(action_), action_.data());
    for (float& a : action_) a = 2 * a - 1;
  } else {
    agent_.explore(observation_, static_cast<uint64_t>(step_), action_);
  }
  const Step result = environment_.act(action_);
  const bool episode_over = result.terminated || result.truncated;
  observe();
  if (!std::isfinite(result.reward) || !all_finite(environment_.observation()))
    throw Failure(message("step ", step_, ": ", environment_.info().name,
                          " returned a reward or observation that is not finite"));

  // Store. At a time limit s' is the last observation of the episode and keeps its value: only a true end is masked.
  replay_.append(0, action_, static_cast<float>(result.reward), result.terminated, episode_over, next_observation_);
  observation_.swap(next_observation_);
  episode_return_ += result.reward;
  if (episode_over) {
    observer.episode_ended(step_, episode_return_);
    begin_episode();
  }

  if (step_ >= settings_.start_steps) update(observer);

  // Report the means at every log interval, and what there is at the last step.
  if (summed_updates_ > 0 && (step_ % settings_.log_interval == 0 || step_ == settings_.steps)) {
    for (size_t i = 0; i < means_.size(); ++i) means_[i] = metric_sums_[i] / static_cast<double>(summed_updates_);
    observer.metrics(step_, means_);
    if (step_ % settings_.log_interval == 0) {
      std::fill(metric_sums_.begin(), metric_sums_.end(), 0.0);
      summed_updates_ = 0;
    }
  }
}

void Training::begin_episode() {
  Stream random(static_cast<uint64_t>(settings_.seed), Purpose::environment_reset, static_cast<uint64_t>(episodes_++));
  environment_.reset(random);
  observe();
  observation_.swap(next_observation_);
  episode_return_ = 0;
  replay_.begin_episode(0, observation_);
}

void Training::observe() {
  const std::span<const double> from = environment_.observation();
  std::transform(from.begin(), from.end(), next_observation_.begin(), [](double x) { return static_cast<float>(x); });
}

void Training::update(Observer& observer) {
  replay_.sample(key(settings_.seed, Purpose::batch, updates_ + 1), batch_);
  try {
    agent_.update(batch_, static_cast<uint64_t>(updates_ + 1), metrics_);
  } catch (const Failure& failure) {
    observer.update_failed(step_);
    throw Failure(message("step ", step_, ": ", failure.what()));
  }
  ++updates_;
  ++summed_updates_;
  for (size_t i = 0; i < metrics_.size(); ++i) metric_sums_[i] += metrics_[i];
  watch_support(observer);
}

void Training::watch_support(Observer& observer) {
  const auto names = agent_.metric_names();
  for (ClippedMass& end : clipped_) {
    for (size_t i = 0; i < names.size(); ++i)
      if (std::string_view(names[i]) == end.metric) end.sum += metrics_[i];
    if (updates_ % support_window != 0) continue;
    const double share = end.sum / support_window;
    if (share > clipped_share_allowed && !end.warned) {
      end.warned = true;
      observer.warning(step_, message(share * 100, " % of the critic's target mass was clipped at ", end.setting,
                                      " over the last ", support_window, " updates: widen the support with --set ",
                                      end.setting, "=..."));
    }
    end.sum = 0;
  }
}

bool Training::evaluate_now(Observer& observer) {
  const auto evaluation = evaluate(agent_, evaluation_environment_, settings_.evaluation_episodes,
                                   static_cast<uint64_t>(settings_.seed), step_, [&] { return observer.stop(); });
  if (!evaluation) return false;
  last_evaluation_ = step_;
  const bool best = evaluation->mean() > best_return_;
  if (best) best_return_ = evaluation->mean();
  observer.evaluated(step_, *evaluation, best);
  return true;
}

// ---- checkpoints ----------------------------------------------------------------------------------------------------

// Every number but tensors that the next steps depend on; the order is part of the file format.
template <class F>
void Training::for_each_counter(F&& f) {
  f(step_), f(updates_), f(episodes_), f(episode_return_), f(last_evaluation_), f(best_return_), f(summed_updates_);
  for (ClippedMass& end : clipped_) f(end.sum), f(end.warned);
}

void Training::save(SafetensorsWriter& file) {
  saved_counters_.clear();
  for_each_counter([&](auto& counter) { saved_counters_.push_back(static_cast<double>(counter)); });
  saved_environment_ = environment_.save();
  file.metadata("step", message(step_));
  file.metadata("environment", environment_.info().name);
  file.add("training.counters", {std::ssize(saved_counters_)}, saved_counters_.data());
  file.add("training.metric_sums", {std::ssize(metric_sums_)}, metric_sums_.data());
  file.add("training.environment", {std::ssize(saved_environment_)}, saved_environment_.data());
  agent_.save(file);
  replay_.save(file);
}

void Training::load(const SafetensorsFile& file) {
  if (file.metadata("environment") != environment_.info().name)
    throw Error(message(file.path(), ": expected a checkpoint of ", environment_.info().name, ", got one of ",
                        file.metadata("environment")));
  int64_t count = 0;
  for_each_counter([&](auto&) { ++count; });
  const auto counters = file.values<double>("training.counters", count);
  const auto sums = file.values<double>("training.metric_sums", std::ssize(metric_sums_));
  agent_.load(file);
  environment_.load(file.values<double>("training.environment"));
  replay_.load(file);
  size_t next = 0;
  for_each_counter([&]<class T>(T& counter) { counter = static_cast<T>(counters[next++]); });
  std::copy(sums.begin(), sums.end(), metric_sums_.begin());
  observe();
  observation_.swap(next_observation_);
}

}  // namespace meander
