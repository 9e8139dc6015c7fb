#include <meander/algos/evaluation.h>

#include <algorithm>
#include <cmath>
#include <exception>

#include <meander/algos/random_action.h>
#include <meander/core/random.h>
#include <meander/kernels/error.h>
#include <meander/kernels/threads.h>

namespace meander {

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
double Evaluation::end_rate() const {
  return static_cast<double>(std::count(ended.begin(), ended.end(), 1)) / static_cast<double>(ended.size());
}

namespace {

// Names the random numbers of one action by the evaluation's step, the episode and the time within it: 32, 20 and 12
// bits. No two actions share a name up to 4e9 steps, a million episodes and 4,096 steps in each. Beyond that the late
// steps of an episode go on with the next one's names, and an evaluation 4e9 steps later begins with the same again.
uint64_t action_name(int64_t at_step, int64_t episode, int64_t time) {
  return (static_cast<uint64_t>(at_step) << 32) + (static_cast<uint64_t>(episode) << 12) + static_cast<uint64_t>(time);
}

// What became of the chunks of an episode: rewards, and when a chunk was decided on and what it was said to be worth.
struct Course {
  std::vector<double> rewards;
  struct Decision { int64_t time; double value; };
  std::vector<Decision> decisions;
};

// The sum over the decisions of Q less the return that followed;
// `beyond`: the value of the state after the last reward.
double summed_overestimation(const Course& course, double discount, double beyond) {
  double sum = 0, following = beyond;
  auto decision = course.decisions.rbegin();
  for (int64_t t = std::ssize(course.rewards) - 1; t >= 0; --t) {
    following = course.rewards[static_cast<size_t>(t)] + discount * following;
    if (decision == course.decisions.rend() || decision->time != t) continue;
    sum += decision->value - following;
    ++decision;
  }
  return sum;
}

// 8 states on the way of uniformly random actions, one every 10 steps, [8, S]: those that the seed names.
std::vector<float> fixed_states(Environment& environment, uint64_t seed) {
  constexpr int count = 8, apart = 10;
  std::vector<float> states, action(static_cast<size_t>(environment.info().actions));
  bool over = true;
  for (uint64_t step = 0; step < count * apart; ++step) {
    if (over) {
      Stream random(seed, Purpose::gap_state, step << 1 | 1);
      environment.reset(random);
    }
    act_at_random(seed, Purpose::gap_state, step << 1, action);
    const Step result = environment.act(action);
    over = result.terminated || result.truncated;
    if (step % apart == apart - 1)
      for (const double x : environment.observation()) states.push_back(static_cast<float>(x));
  }
  return states;
}

// An episode of an evaluation that is under way.
struct RunningEpisode {
  Environment* environment;
  ChunkQueue queue;
  int64_t number = 0, time = 0;
  std::span<const float> action = {};
  Step result = {};
  std::exception_ptr error = nullptr;
  Course course = {};   // of an agent whose chunks have values

  bool over() const { return result.terminated || result.truncated; }
};

}  // namespace

std::optional<Evaluation> evaluate(Agent& agent, const std::vector<Environment*>& environments, int64_t episodes,
                                   uint64_t seed, int64_t at_step, const std::function<bool()>& stop) {
  if (environments.empty()) throw Error("an evaluation needs an environment");
  Evaluation evaluation{std::vector<double>(static_cast<size_t>(episodes)),
                        std::vector<uint8_t>(static_cast<size_t>(episodes))};
  std::vector<float> observation(static_cast<size_t>(environments[0]->info().observations));
  const std::optional<double> discount = agent.discount();
  double overestimated = 0;
  int64_t decisions = 0, begun = 0;
  const auto begin = [&](RunningEpisode& episode) {
    episode.number = begun++;
    episode.time = 0;
    episode.queue.clear();
    episode.course.rewards.clear(), episode.course.decisions.clear();
    Stream random(seed, Purpose::evaluation_reset, action_name(at_step, episode.number, 0));
    episode.environment->reset(random);
  };

  std::vector<RunningEpisode> running;
  running.reserve(environments.size());
  for (Environment* environment : environments) {
    if (begun == episodes) break;
    running.push_back({environment, ChunkQueue(agent.chunk(), agent.actions())});
    if (discount) {
      const auto limit = static_cast<size_t>(std::max(0, environment->info().time_limit));
      running.back().course.rewards.reserve(limit), running.back().course.decisions.reserve(limit);
    }
    begin(running.back());
  }
  while (!running.empty()) {
    if (stop && stop()) return std::nullopt;

    // The agent, which only one thread may ask, decides for one episode after the other.
    for (RunningEpisode& episode : running) {
      const std::span<const double> from = episode.environment->observation();
      std::copy(from.begin(), from.end(), observation.begin());
      episode.action = episode.queue.next([&](std::span<float> chunk) {
        agent.act(observation, action_name(at_step, episode.number, episode.time), chunk);
        if (discount) episode.course.decisions.push_back({episode.time, agent.chunk_value(observation, chunk)});
      });
    }

    // Their environments step at once. A task of the pool must not throw, so errors wait.
    kernels::parallel_for(std::ssize(running), 1, [&](int64_t first, int64_t last) {
      for (RunningEpisode& episode : std::span(running).subspan(first, last - first)) {
        try {
          episode.result = episode.environment->act(episode.action);
        } catch (...) {
          episode.error = std::current_exception();
        }
      }
    });

    // An environment whose episode is over takes the next one, or retires.
    for (RunningEpisode& episode : running) {
      if (episode.error) std::rethrow_exception(episode.error);
      evaluation.returns[static_cast<size_t>(episode.number)] += episode.result.reward;
      evaluation.ended[static_cast<size_t>(episode.number)] = episode.result.terminated;
      ++episode.time;
      if (discount) {
        episode.course.rewards.push_back(episode.result.reward);
        if (episode.over()) {
          const std::span<const double> last = episode.environment->observation();
          std::copy(last.begin(), last.end(), observation.begin());
          const double beyond =
              episode.result.terminated
                  ? 0
                  : agent.state_value(observation, action_name(at_step, episode.number, episode.time));
          overestimated += summed_overestimation(episode.course, *discount, beyond);
          decisions += std::ssize(episode.course.decisions);
        }
      }
      if (episode.over() && begun < episodes) episode.result = {}, begin(episode);
    }
    std::erase_if(running, [](const RunningEpisode& episode) { return episode.over(); });
  }
  if (decisions > 0) evaluation.overestimation = overestimated / static_cast<double>(decisions);
  if (agent.has_flow()) evaluation.one_step_gap = agent.one_step_gap(fixed_states(*environments[0], seed));
  return evaluation;
}

WatchedEpisode watch_episode(Environment& environment, int chunk, const Decide& decide, int64_t number, uint64_t seed,
                             int64_t at_step, const std::function<bool(int64_t)>& watch) {
  WatchedEpisode episode;
  ChunkQueue queue(chunk, environment.info().actions);
  std::vector<float> observation(static_cast<size_t>(environment.info().observations));
  Stream random(seed, Purpose::evaluation_reset, action_name(at_step, number, 0));
  environment.reset(random);
  while (watch(episode.steps) && !episode.over) {
    const std::span<const double> from = environment.observation();
    std::copy(from.begin(), from.end(), observation.begin());
    const Step result = environment.act(queue.next([&](std::span<float> actions) {
      decide(observation, action_name(at_step, number, episode.steps), actions);
    }));
    episode.episode_return += result.reward;
    episode.over = result.terminated || result.truncated;
    ++episode.steps;
  }
  return episode;
}

}  // namespace meander
