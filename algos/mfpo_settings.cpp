#include <meander/algos/algorithm.h>
#include <meander/algos/mfpo.h>

namespace meander {

std::vector<Setting> MfpoSettings::settings() {
  const double tiny = 1e-12;
  const std::vector<std::string> precisions = {"float32", "tf32", "bfloat16"};
  return {
      {"batch_size", &batch_size, "rows", "transitions in one update", 1, 65536, {}},
      {"discount", &discount, "", "gamma, the weight of the next step's value", 0, 1, {}},
      {"target_rate", &target_rate, "", "tau: target = (1 - tau) target + tau critic after each update", 0, 1, {}},
      {"learning_rate", &learning_rate, "", "Adam's step size, the same for every network", tiny, 1, {}},
      {"actor_width", &actor_width, "units", "of each hidden layer of the actor and of the divergence network", 1, 4096,
       {}},
      {"actor_layers", &actor_layers, "layers", "hidden (Dense, LayerNorm, GELU), of the same two", 1, 7, {}},
      {"critic_width", &critic_width, "units", "of each hidden layer of the critics", 1, 4096, {}},
      {"critic_layers", &critic_layers, "layers", "hidden (Dense, LayerNorm, GELU), of the critics", 1, 7, {}},
      {"sampling_steps", &sampling_steps, "passes", "T, flow steps from noise to an action", 1, 100, {}},
      {"policy_proposals", &policy_proposals, "a state", "K1, proposals drawn from the policy", 1, 1024, {}},
      {"gaussian_proposals", &gaussian_proposals, "a state", "K2, proposals drawn around x_t", 1, 1024, {}},
      {"proposals", &proposals, "", "which proposals make the velocity; both are mixed by effective sample size", 0, 0,
       {"both", "policy", "gaussian"}},
      {"mixture", &mixture, "", "of the two kinds: by effective sample size, or one half each", 0, 0, {"ess", "half"}},
      {"probes", &probes, "a state", "N, Hutchinson probes of the divergence", 1, 64, {}},
      {"divergence_network", &divergence_network, "",
       "learn the average divergence; without it log-probabilities are those of the noise", 0, 1, {}},
      {"drawing_precision", &drawing_precision, "",
       "of the factors of products that draw the proposals; tf32 counts on CUDA alone", 0, 0, precisions},
      {"scoring_precision", &scoring_precision, "", "the same for scoring them", 0, 0, precisions},
      {"acting_precision", &acting_precision, "", "the same for exploration and evaluation", 0, 0, precisions},
      {"evaluation_candidates", &evaluation_candidates, "a state",
       "actions sampled in evaluation, the best by the target critics is taken", 1, 4096, {}},
      {"clipped_double_q", &clipped_double_q, "", "use the smaller of the two critics, else their mean", 0, 1, {}},
      {"atoms", &atoms, "", "of the return distribution", 2, 4096, {}},
      {"v_min", &v_min, "return", "lower end of the return distribution's support", -1e9, 1e9, {}},
      {"v_max", &v_max, "return", "upper end of the return distribution's support", -1e9, 1e9, {}},
      {"alpha", &alpha, "return", "initial temperature", tiny, 1e9, {}},
      {"tune_alpha", &tune_alpha, "", "move the temperature towards the target entropy, else it stays", 0, 1, {}},
      {"alpha_floor", &alpha_floor, "return", "the temperature is never below this", 0, 1e9, {}},
      {"target_entropy_per_action", &target_entropy_per_action, "nats", "target entropy over the action's size", -100,
       100, {}},
      {"logit_mean", &logit_mean, "", "mean of logit t, of which times are drawn", -100, 100, {}},
      {"logit_deviation", &logit_deviation, "", "standard deviation of logit t", 0, 100, {}},
      {"share_equal_times", &share_equal_times, "", "share of a batch with r = t, plain flow matching", 0, 1, {}},
  };
}

void MfpoSettings::adapt(const EnvironmentInfo& environment) {
  v_min = environment.v_min;
  v_max = environment.v_max;
  clipped_double_q = environment.clipped_double_q;
}

std::unique_ptr<Agent> MfpoSettings::make_agent(int observations, int actions, uint64_t seed) const {
  if (v_min >= v_max) throw Error(message("v_min ", v_min, " must be below v_max ", v_max));
  return std::make_unique<Mfpo>(observations, actions, *this, seed);
}

template std::unique_ptr<AlgorithmSettings> settings_of<MfpoSettings>();

}  // namespace meander
