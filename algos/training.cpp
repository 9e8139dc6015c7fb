#include "algos/training.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <limits>
#include <string_view>
#include <thread>
#include <utility>

#include "core/error.h"
#include "core/random.h"
#include "kernels/philox.h"
#include "kernels/threads.h"

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
      {"overlap", &overlap, "",
       "step the environment while the update runs, given two threads or more; no result depends on it", 0, 0, {}},
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

// ---- the environment's thread ---------------------------------------------------------------------------------------

class Training::Simulation {
 public:
  explicit Simulation(Environment& environment) : environment_(environment), thread_([this] { run(); }) {}
  ~Simulation() {
    turn_.wait(Turn::environment);
    pass(Turn::over);
    thread_.join();
  }

  // environment.act(action) begins. Nothing may touch the environment or the action before finish returns.
  void start(std::span<const float> action) {
    action_ = action;
    pass(Turn::environment);
  }
  // Waits for its result, or throws what it threw.
  Step finish() {
    turn_.wait(Turn::environment, std::memory_order_acquire);
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    return result_;
  }

 private:
  enum class Turn : int { caller, environment, over };

  void pass(Turn to) {
    turn_.store(to, std::memory_order_release);
    turn_.notify_one();
  }
  void run() {
    while (true) {
      turn_.wait(Turn::caller, std::memory_order_acquire);
      if (turn_.load(std::memory_order_acquire) == Turn::over) return;
      try {
        result_ = environment_.act(action_);
      } catch (...) {
        error_ = std::current_exception();
      }
      pass(Turn::caller);
    }
  }

  Environment& environment_;
  std::span<const float> action_;
  Step result_;
  std::exception_ptr error_;
  std::atomic<Turn> turn_{Turn::caller};
  std::thread thread_;  // last: it uses the rest
};

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
  if (settings.overlap && kernels::threads() > 1) simulation_ = std::make_unique<Simulation>(environment);
}

Training::~Training() = default;

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

  // Step the environment, and update meanwhile if the batch is known without what this step brings.
  const bool learning = step_ >= settings_.start_steps;
  const kernels::RandomKey batch_key = key(settings_.seed, Purpose::batch, updates_ + 1);
  bool updated = false;
  std::exception_ptr update_error;
  const auto update = [&] {
    updated = true;
    try {
      agent_.update(batch_, static_cast<uint64_t>(updates_ + 1), metrics_);
    } catch (...) {
      update_error = std::current_exception();
    }
  };
  Step result;
  if (learning && simulation_) {
    simulation_->start(action_);
    if (replay_.sample_ahead(0, batch_key, batch_)) update();
    result = simulation_->finish();
  } else {
    result = environment_.act(action_);
  }
  const bool episode_over = result.terminated || result.truncated;
  observe();
  if (!std::isfinite(result.reward) || !all_finite(environment_.observation()))
    throw Failure(message("step ", step_, ": ", environment_.info().name,
                          " returned a reward or observation that is not finite"));

  // Store. At a time limit s' is the last observation of the episode and keeps its value: only a true end is masked.
  replay_.append(0, action_, static_cast<float>(result.reward), result.terminated, episode_over, next_observation_);
  observation_.swap(next_observation_);
  episode_return_ += result.reward;
  if (episode_over) observer.episode_ended(step_, episode_return_);

  if (learning) {
    if (!updated) {
      replay_.sample(batch_key, batch_);
      update();
    }
    finish_update(observer, update_error);
  }
  // After the update: the first observation of an episode may displace a transition, and whether one begins is not
  // known in advance.
  if (episode_over) begin_episode();

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

void Training::finish_update(Observer& observer, const std::exception_ptr& error) {
  try {
    if (error) std::rethrow_exception(error);
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
