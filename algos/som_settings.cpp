#include <meander/algos/algorithm.h>
#include <meander/algos/som.h>
#include <meander/algos/training.h>

namespace meander {

std::vector<Setting> SomSettings::settings() {
  const double tiny = 1e-12;
  return {
      {"batch_size", &batch_size, "rows", "transitions in one update", 1, 65536, {}},
      {"discount", &discount, "", "gamma, the weight of the next step's value", 0, 1, {}},
      {"target_rate", &target_rate, "", "tau: target = (1 - tau) target + tau critic", 0, 1, {}},
      {"reward_scale", &reward_scale, "", "factor on rewards in the critics' target; returns are reported without it",
       tiny, 1e9, {}},
      {"policy_interval", &policy_interval, "updates", "of the critics for one of the policy", 1, 1000, {}},
      {"target_interval", &target_interval, "updates", "of the critics for one of the targets; 0: as policy_interval",
       0, 1000, {}},
      {"learning_rate", &learning_rate, "", "Adam's step size; the policy's at first", tiny, 1, {}},
      {"final_learning_rate", &final_learning_rate, "", "the policy's in the end", tiny, 1, {}},
      {"decay_start", &decay_start, "policy updates", "before the policy's rate falls", 0, 1e12, {}},
      {"decay_length", &decay_length, "policy updates", "in which it falls, linearly", 1, 1e12, {}},
      {"actor_width", &actor_width, "units", "of each hidden layer of the actor", 1, 4096, {}},
      {"actor_layers", &actor_layers, "layers", "hidden (Dense, Mish), of the actor", 1, 7, {}},
      {"critic_width", &critic_width, "units", "of each hidden layer of the critics", 1, 4096, {}},
      {"critic_layers", &critic_layers, "layers", "hidden (Dense, Mish), of the critics", 1, 7, {}},
      {"beta_min", &beta_min, "", "of the diffusion, at the action", tiny, 1000, {}},
      {"beta_max", &beta_max, "", "of the diffusion, at the noise", tiny, 1000, {}},
      {"proposals", &proposals, "a state", "K, of the Monte-Carlo score", 1, 65536, {}},
      {"inverse_temperature", &inverse_temperature, "1 / return", "alpha: the policy goes towards exp(alpha Q)", tiny,
       1e9, {}},
      {"standardise", &standardise, "", "over which values Q is standardised in the score", 0, 0,
       {"all", "state", "none"}},
      {"standardise_gradient", &standardise_gradient, "",
       "the score's gradient passes through the mean and the deviation that Q is standardised by, else they are "
       "constants",
       0, 1, {}},
      {"velocity", &velocity, "",
       "from the score at unit norm times weight, the same with the denoised action kept in the box, or the exact ODE",
       0, 0, {"unit_score", "clipped", "exact"}},
      {"weight", &weight, "", "w of the unit score; below the action's norm the field points outward", 0, 1e6, {}},
      {"start", &start, "", "the actions that noise is added to: the replay's, or fresh ones of the policy", 0, 0,
       {"replay", "policy"}},
      {"times", &times, "", "t uniform and r uniform below it, or two logit-normal draws", 0, 0,
       {"uniform_below", "logit_normal"}},
      {"logit_mean", &logit_mean, "", "mean of logit t, of which times are drawn", -100, 100, {}},
      {"logit_deviation", &logit_deviation, "", "standard deviation of logit t", 0, 100, {}},
      {"share_equal_times", &share_equal_times, "", "share of a batch with r = t", 0, 1, {}},
      {"adaptive_weight", &adaptive_weight, "", "samples weigh 1 / (their squared error + 1e-3) in the actor's loss", 0,
       0, {}},
      {"bound", &bound, "", "how the action comes into [-1, 1]", 0, 0, {"clip", "tanh"}},
      {"candidates", &candidates, "a state", "N, of which the best by the smaller critic is taken", 1, 4096, {}},
      {"exploration_noise", &exploration_noise, "", "on top of the chosen action", 0, 0, {}},
      {"noise_log_scale", &noise_log_scale, "", "initial l; the noise has the standard deviation .1 exp(l)", -20, 20,
       {}},
      {"noise_entropy_per_action", &noise_entropy_per_action, "nats", "what l is tuned to, over the action's size",
       -100, 100, {}},
      {"noise_learning_rate", &noise_learning_rate, "", "Adam's step size for l", tiny, 1, {}},
      {"noise_interval", &noise_interval, "updates", "between steps of l", 1, 1e9, {}},
  };
}

void SomSettings::adapt_loop(TrainingSettings& loop) const {
  loop.environments = 5;
  loop.start_steps = 30'001;
}

std::unique_ptr<Agent> SomSettings::make_agent(int observations, int actions, uint64_t seed) const {
  return std::make_unique<Som>(observations, actions, *this, seed);
}

template std::unique_ptr<AlgorithmSettings> settings_of<SomSettings>();

}  // namespace meander
