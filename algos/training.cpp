#include <meander/algos/training.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include <meander/algos/random_action.h>
#include <meander/core/json.h>
#include <meander/core/random.h>
#include <meander/kernels/error.h>
#include <meander/kernels/threads.h>

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

// ---- the environments' thread --------------------------------------------------------------------------------------

class Training::Simulation {
 public:
  // Throws std::system_error if the system refuses the thread.
  explicit Simulation(std::vector<World>& worlds) : worlds_(worlds), thread_([this] { run(); }) {}
  ~Simulation() {
    turn_.wait(Turn::environments);
    pass(Turn::over);
    thread_.join();
  }

  // Every environment takes its world's action. Nothing may touch environments, actions or results before finish
  // returns.
  void start() { pass(Turn::environments); }
  // Waits until they have, or throws what one threw.
  void finish() {
    turn_.wait(Turn::environments, std::memory_order_acquire);
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

 private:
  enum class Turn : int { caller, environments, over };

  void pass(Turn to) {
    turn_.store(to, std::memory_order_release);
    turn_.notify_one();
  }
  void run() {
    while (true) {
      turn_.wait(Turn::caller, std::memory_order_acquire);
      if (turn_.load(std::memory_order_acquire) == Turn::over) return;
      try {
        for (World& world : worlds_) world.result = world.environment->act(world.action);
      } catch (...) {
        error_ = std::current_exception();
      }
      pass(Turn::caller);
    }
  }

  std::vector<World>& worlds_;
  std::exception_ptr error_;
  std::atomic<Turn> turn_{Turn::caller};
  std::thread thread_;  // last: it uses the rest
};

// ---- the loop -------------------------------------------------------------------------------------------------------

Training::Training(const TrainingSettings& settings, Agent& agent, const std::vector<Environment*>& environments,
                   const std::vector<Environment*>& evaluation_environments, const DataSet* data)
    : settings_(settings), agent_(agent), evaluation_environments_(evaluation_environments),
      replay_(static_cast<int>(environments.size()), settings.replay_capacity, agent.observations(), agent.actions()),
      with_data_(data != nullptr) {
  const int64_t B = agent.batch_size(), S = agent.observations(), A = agent.actions();
  const int64_t h = agent.chunk(), n = agent.return_steps();
  const size_t observations = static_cast<size_t>(S), actions = static_cast<size_t>(A);
  for (Environment* environment : environments) {
    const EnvironmentInfo& info = environment->info();
    if (S != info.observations || A != info.actions)
      throw Error(message(info.name, " has ", info.observations, " observations and ", info.actions,
                          " actions, the agent expects ", S, " and ", A));
    worlds_.push_back({environment, ChunkQueue(agent.chunk(), agent.actions()), std::vector<float>(observations),
                       std::vector<float>(observations), std::vector<float>(actions)});
  }
  if (settings.offline_steps > 0 && !data)
    throw Error("offline_steps needs a data set to learn from: --set data=FILE");
  metrics_.resize(agent.metric_names().size());
  metric_sums_.resize(metrics_.size());
  means_.resize(metrics_.size());

  bool mirrored = false;
  try {
    mirrored = agent.mirror(replay_);
  } catch (const Failure& failure) {
    warning_ = message("batches are sent to the device, which has no room for the replay (see replay_capacity): ",
                       failure.what());
  }
  batch_memory_.resize(B * (S + h * A + n + 1 + n + S));
  batch_rows_.resize(mirrored ? B * (n + 1) : 0);
  float* next = batch_memory_.data();
  const auto take = [&](int64_t cols) { return view(std::exchange(next, next + B * cols), B, cols); };
  const auto from_rows = [&](int64_t cols) { return mirrored ? Tensor{nullptr, B, cols} : take(cols); };
  batch_ = {.state = from_rows(S), .action = from_rows(h * A), .reward = from_rows(n), .mask = take(1),
            .next_state = from_rows(S), .valid = take(n)};
  if (mirrored) batch_.rows = view(batch_rows_.data(), B, n + 1);
  if (data) replay_.append(*data);
  for (int world = 0; world < std::ssize(worlds_); ++world) begin_episode(world);
  if (settings.overlap && kernels::threads() > 1) {
    try {
      simulation_ = std::make_unique<Simulation>(worlds_);
    } catch (const std::system_error&) {  // one after the other then
    }
  }
}

Training::~Training() = default;

void Training::run(Observer& observer) {
  int64_t last_checkpoint = counters_.step;
  step_before_ = counters_.step;
  if (!warning_.empty()) observer.warning(counters_.step, std::exchange(warning_, {}));
  while (true) {
    const bool at_end = counters_.step >= settings_.steps;
    const bool evaluation_due =
        counters_.step > 0 && (due(settings_.evaluation_interval) || at_end || counters_.evaluation_pending);
    bool stop = false;
    if (evaluation_due && counters_.last_evaluation != counters_.step) {
      counters_.evaluation_pending = !evaluate_now(observer);
      stop = counters_.evaluation_pending;
    }
    observer.step_done(counters_.step);
    stop = stop || at_end || observer.stop();
    if (last_checkpoint != counters_.step && (stop || due(settings_.checkpoint_interval))) {
      observer.checkpoint(counters_.step);
      last_checkpoint = counters_.step;
    }
    if (stop) return;
    step_before_ = counters_.step;
    if (counters_.step < settings_.offline_steps) advance_offline(observer);
    else {
      if (counters_.step == settings_.offline_steps) agent_.begin_online();
      advance(observer);
    }
  }
}

void Training::update() {
  try {
    agent_.update(batch_, static_cast<uint64_t>(counters_.updates + 1), metrics_);
  } catch (...) {
    update_error_ = std::current_exception();
  }
}

void Training::advance_offline(Observer& observer) {
  ++counters_.step;
  batch_.offline = true;
  replay_.sample(key(settings_.seed, Purpose::batch, counters_.updates + 1), batch_);
  update();
  finish_update(observer);
  report(observer);
}

void Training::advance(Observer& observer) {
  const int64_t first = counters_.step + 1;  // of the steps taken here
  counters_.step += std::ssize(worlds_);
  batch_.offline = false;

  // Act: at random at first, then as the agent explores.
  const bool learning = counters_.step - settings_.offline_steps >= settings_.start_steps;
  for (int64_t i = 0; i < std::ssize(worlds_); ++i) {
    World& world = worlds_[static_cast<size_t>(i)];
    if (learning || settings_.offline_steps > 0) {
      const auto chosen = world.queue.next([&](std::span<float> chunk) {
        agent_.explore(world.observation, static_cast<uint64_t>(first + i), chunk);
      });
      std::copy(chosen.begin(), chosen.end(), world.action.begin());
    } else {
      act_at_random(static_cast<uint64_t>(settings_.seed), Purpose::random_action, static_cast<uint64_t>(first + i),
                    world.action);
    }
  }

  // Step the environments, and update meanwhile if the batch is known without what this step brings.
  const kernels::RandomKey batch_key = key(settings_.seed, Purpose::batch, counters_.updates + 1);
  bool updated = false;
  if (learning && simulation_) {
    simulation_->start();
    if (replay_.sample_ahead(batch_key, batch_)) update(), updated = true;
    simulation_->finish();
  } else {
    for (World& world : worlds_) world.result = world.environment->act(world.action);
  }
  for (int64_t i = 0; i < std::ssize(worlds_); ++i) {
    World& world = worlds_[static_cast<size_t>(i)];
    observe(world);
    if (!std::isfinite(world.result.reward) || !all_finite(world.environment->observation()))
      throw Diverged(message("step ", first + i, ": ", world.environment->info().name,
                             " returned a reward or observation that is not finite"));
  }

  // Store. At a time limit s' is the last observation of the episode and keeps its value: only a true end is masked.
  const auto episode_over = [](const World& world) { return world.result.terminated || world.result.truncated; };
  for (int i = 0; i < std::ssize(worlds_); ++i) {
    World& world = worlds_[static_cast<size_t>(i)];
    replay_.append(i, world.action, static_cast<float>(world.result.reward), world.result.terminated,
                   episode_over(world), world.next_observation);
    world.observation.swap(world.next_observation);
    world.episode_return += world.result.reward;
    if (episode_over(world)) observer.episode_ended(counters_.step, world.episode_return);
  }

  if (learning) {
    if (!updated) {
      replay_.sample(batch_key, batch_);
      update();
    }
    finish_update(observer);
  }
  // After the update: the first observation of an episode may displace a transition, and whether one begins is not
  // known in advance.
  for (int i = 0; i < std::ssize(worlds_); ++i)
    if (episode_over(worlds_[static_cast<size_t>(i)])) begin_episode(i);
  report(observer);
}

// The means at every log interval, and what there is at the last step.
void Training::report(Observer& observer) {
  const bool interval_over = due(settings_.log_interval);
  if (counters_.summed_updates == 0 || !(interval_over || counters_.step >= settings_.steps)) return;
  const auto summed = static_cast<double>(counters_.summed_updates);
  for (size_t i = 0; i < means_.size(); ++i) means_[i] = metric_sums_[i] / summed;
  observer.metrics(counters_.step, means_);
  if (interval_over) {
    std::fill(metric_sums_.begin(), metric_sums_.end(), 0.0);
    counters_.summed_updates = 0;
  }
}

void Training::begin_episode(int i) {
  World& world = worlds_[static_cast<size_t>(i)];
  Stream random(static_cast<uint64_t>(settings_.seed), Purpose::environment_reset,
                static_cast<uint64_t>(counters_.episodes++));
  world.environment->reset(random);
  observe(world);
  world.observation.swap(world.next_observation);
  world.queue.clear();
  world.episode_return = 0;
  replay_.begin_episode(i, world.observation);
}

void Training::observe(World& world) {
  const std::span<const double> from = world.environment->observation();
  std::transform(from.begin(), from.end(), world.next_observation.begin(),
                 [](double x) { return static_cast<float>(x); });
}

void Training::finish_update(Observer& observer) {
  try {
    if (update_error_) std::rethrow_exception(std::exchange(update_error_, nullptr));
  } catch (const Failure& failure) {
    observer.update_failed(counters_.step);
    const std::string what = message("step ", counters_.step, ": ", failure.what());
    if (dynamic_cast<const Diverged*>(&failure)) throw Diverged(what);
    throw Failure(what);
  }
  ++counters_.updates;
  ++counters_.summed_updates;
  for (size_t i = 0; i < metrics_.size(); ++i) metric_sums_[i] += metrics_[i];
  watch_support(observer);
}

void Training::watch_support(Observer& observer) {
  const auto names = agent_.metric_names();
  for (size_t end = 0; end < std::size(support_ends_); ++end) {
    const auto& [metric, setting] = support_ends_[end];
    LoopCounters::Clipped& clipped = counters_.clipped[end];
    for (size_t i = 0; i < names.size(); ++i)
      if (std::string_view(names[i]) == metric) clipped.sum += metrics_[i];
    if (counters_.updates % support_window != 0) continue;
    const double share = clipped.sum / support_window;
    if (share > clipped_share_allowed && !clipped.warned) {
      clipped.warned = true;
      observer.warning(counters_.step, message(share * 100, " % of the critic's target mass was clipped at ", setting,
                                      " over the last ", support_window, " updates: widen the support with --set ",
                                      setting, "=..."));
    }
    clipped.sum = 0;
  }
}

bool Training::evaluate_now(Observer& observer) {
  const auto evaluation = evaluate(agent_, evaluation_environments_, settings_.evaluation_episodes,
                                   static_cast<uint64_t>(settings_.seed), counters_.step,
                                   [&] { return observer.stop(); });
  if (!evaluation) return false;
  counters_.last_evaluation = counters_.step;
  const bool best = evaluation->mean() > counters_.best_return && std::isfinite(evaluation->mean());
  if (best) counters_.best_return = evaluation->mean();
  observer.evaluated(counters_.step, *evaluation, best);
  return true;
}

// ---- checkpoints ----------------------------------------------------------------------------------------------------

void Training::save(SafetensorsWriter& file) {
  saved_counters_.clear();
  counters_.for_each([&](auto& counter) { saved_counters_.push_back(static_cast<double>(counter)); });
  saved_worlds_.clear(), saved_queues_.clear(), saved_environments_.clear();
  for (const World& world : worlds_) {
    saved_worlds_.insert(saved_worlds_.end(), {world.episode_return, static_cast<double>(world.queue.left())});
    saved_queues_.insert(saved_queues_.end(), world.queue.memory().begin(), world.queue.memory().end());
    saved_environments_.push_back(world.environment->save());
  }
  file.metadata("step", message(counters_.step));
  file.metadata("environment", worlds_[0].environment->info().name);
  file.add("training.counters", {std::ssize(saved_counters_)}, saved_counters_.data());
  file.add("training.metric_sums", {std::ssize(metric_sums_)}, metric_sums_.data());
  file.add("training.worlds", {std::ssize(worlds_), 2}, saved_worlds_.data());
  file.add("training.queues", {std::ssize(saved_queues_)}, saved_queues_.data());
  for (size_t i = 0; i < worlds_.size(); ++i)
    file.add(message("training.environment.", i), {std::ssize(saved_environments_[i])}, saved_environments_[i].data());
  agent_.save(file);
  replay_.save(file);
}

void Training::load(const SafetensorsFile& file) {
  const std::string& name = worlds_[0].environment->info().name;
  if (file.metadata("environment") != name)
    throw Error(message(file.path(), ": expected a checkpoint of ", name, ", got one of ",
                        quoted(file.metadata("environment"))));
  const LoopState state =
      read_loop_state(file, settings_, std::ssize(worlds_), agent_.chunk(), agent_.actions());
  agent_.load(file);
  replay_.load(file);
  expect_replay_of(file, state.counters);
  for (size_t i = 0; i < worlds_.size(); ++i) {
    World& world = worlds_[i];
    const LoopState::World& saved = state.worlds[i];
    try {
      world.environment->load(saved.environment);
    } catch (const Error& error) {
      throw Error(message(file.path(), ": environment ", i, ": ", error.what()));
    }
    world.episode_return = saved.episode_return;
    world.queue.restore(saved.queue, saved.queue_left);
    observe(world);
    world.observation.swap(world.next_observation);
  }
  counters_ = state.counters;
  // The sums of a version with more or fewer metrics say nothing of these, nor do such as are no numbers: their means
  // begin anew.
  if (state.metric_sums.size() == metric_sums_.size() && all_finite(state.metric_sums))
    std::ranges::copy(state.metric_sums, metric_sums_.begin());
  else std::fill(metric_sums_.begin(), metric_sums_.end(), 0.0), counters_.summed_updates = 0;
}

// An episode writes a row and so does each of its steps; more can only be a data set's.
void Training::expect_replay_of(const SafetensorsFile& file, const LoopCounters& counters) const {
  const int64_t of_steps = counters.episodes + std::max<int64_t>(0, counters.step - settings_.offline_steps);
  const int64_t of_data = replay_.rows_written() - of_steps;
  if (!replay_.begun() || of_data < 0 || of_data > (with_data_ ? replay_.rows() : 0))
    throw Error(message(file.path(), ": ", counters.step, " steps in ", counters.episodes, " episodes leave ", of_steps,
                        " rows in the replay and one at least of each environment, but it counts ",
                        replay_.rows_written()));
}

}  // namespace meander
