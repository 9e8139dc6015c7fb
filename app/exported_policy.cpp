#include <meander/app/exported_policy.h>

#include <meander/kernels/error.h>

namespace meander {

PolicyDescription exported_policy(const PolicyDescription& policy, const ActingRecord& acting, int64_t candidates) {
  if (candidates > 1 && !policy.scores)
    throw Error(message("this policy has nothing to choose among ", candidates, " candidates by"));
  PolicyDescription exported = policy;
  exported.precision = kernels::Precision::float32;
  exported.act_candidates = candidates;
  if (candidates > 1) exported.scores->smaller = acting.smaller;
  else exported.scores.reset();
  return exported;
}

// Of a flow the inputs are [x, state, times], of a one-step policy [noise, state], of a Gaussian [state].
NetworkPart actor_part(const PolicyDescription& policy) {
  const int64_t numbers = policy.numbers();
  const float* const params = policy.params->data();
  if (const auto* flow = std::get_if<PolicyDescription::Flow>(&policy.actor))
    return {&flow->network->trunk(), params, 0, numbers, numbers, numbers};
  if (const auto* one_step = std::get_if<PolicyDescription::OneStep>(&policy.actor))
    return {one_step->network, params, 0, numbers, numbers, numbers};
  return {std::get<PolicyDescription::Gaussian>(policy.actor).network, params, 0, 0, 0, numbers};
}

// [state, action]
NetworkPart critic_part(const PolicyDescription& policy, int which) {
  const PolicyDescription::Scores& scores = *policy.scores;
  return {scores.network, scores.params[which]->data(), policy.observations, policy.numbers(), 0,
          scores.network->width[scores.network->layers]};
}

}  // namespace meander
