#include <meander/algos/mfpo_phases.h>

#include <cmath>

namespace meander {

kernels::Precision precision_of(const std::string& name) {
  using kernels::Precision;
  return name == "tf32" ? Precision::tf32 : name == "bfloat16" ? Precision::bfloat16 : Precision::float32;
}

MfpoPhases::MfpoPhases(int observations, int actions, const MfpoSettings& s, uint64_t seed)
    : mean_velocity(observations, actions, {s.actor_width, s.actor_layers}, actions, Times::fourier),
      average_divergence(observations, actions, {s.actor_width, s.actor_layers}, 1, Times::fourier),
      critic(observations, actions, {s.critic_width, s.critic_layers}, {s.atoms, s.v_min, s.v_max},
             s.clipped_double_q ? TwinCritic::Chosen::smaller : TwinCritic::Chosen::mean, seed),
      actor(mean_velocity.layout.size()),
      divergence(average_divergence.layout.size()),
      log_alpha(1),
      policy({.observations = observations, .actions = actions,
              .actor = PolicyDescription::Flow{&mean_velocity, s.sampling_steps, s.share_equal_times == 1},
              .params = &actor.params, .precision = precision_of(s.acting_precision),
              .scores = {{.layout = &critic.layout, .network = &critic.trunk(),
                          .params = {&critic.target[0].params, &critic.target[1].params}, .target = true,
                          .atoms = critic.atoms(), .smaller = s.clipped_double_q}},
              .act_candidates = s.evaluation_candidates}),
      flow(policy.flow()),
      flow_times{FlowTimesSampler::Draw::logit_normal, s.logit_mean, s.logit_deviation, s.share_equal_times},
      support{critic.atoms(), s.v_min, s.v_max},
      mixture(s.proposals == "gaussian" ? kernels::Mixture::gaussian
              : s.mixture == "half"     ? kernels::Mixture::half
                                        : kernels::Mixture::ess),
      divergence_network_(s.divergence_network),
      alpha_floor_(s.alpha_floor),
      target_entropy_(s.target_entropy_per_action * actions) {
  mean_velocity.layout.initialise(actor.params, Stream(seed, Purpose::initialise_actor, 0));
  average_divergence.layout.initialise(divergence.params, Stream(seed, Purpose::initialise_divergence, 0));
  temperature.add("log_alpha", {1}, Initial::zero);
  const float number = static_cast<float>(std::log(s.alpha));
  log_alpha.params.set(&number);
}

std::vector<Network> MfpoPhases::networks() {
  return networks_of({{"actor/", &mean_velocity.layout, &actor, true},
                      {"divergence/", &average_divergence.layout, &divergence, true}},
                     critic, {{"temperature/", &temperature, &log_alpha, true}});
}

Number MfpoPhases::alpha() const {
  const Value alpha = exp(log_alpha.tensor());
  return alpha_floor_ > 0 ? maximum(alpha, full(1, 1, alpha_floor_)).detached : alpha.detached;
}

// ---- the sampler: z ~ N(0, I) at t = 1, T steps x <- x - u / T down to t = 0 ----------------------------------------
// log p(x) = log N(z) + sum of delta / T: the average divergence is what the log-density gains along the flow.
MfpoPhases::Sample MfpoPhases::sample(Tensor state, Tensor noise, kernels::Precision precision) {
  Value logp = normal_log_prob(noise);
  const Value params = divergence.tensor();
  Value of_state, of_times;
  if (divergence_network_) {
    of_state = average_divergence.project_state(params, state);
    of_times = flow.times_of(average_divergence, params);
  }
  const auto gain = [&](int64_t i, Tensor x) {
    if (!divergence_network_) return;
    const Value delta = average_divergence.from_projection(params, of_state + slice_rows(of_times, i, 1), x, precision);
    logp = add_scaled(logp, 1.0 / double(flow.steps()), delta);
  };
  const Tensor x = flow(state, noise, precision, gain);
  return {clip(x, -1, 1).detached, logp.detached};
}

// ---- actor: regress the mean velocity on the flow towards exp(Q / alpha) --------------------------------------------
Tensor MfpoPhases::all_proposals(int64_t batch, Tensor policy_action, Tensor gaussian_action) {
  if (!gaussian_action) return policy_action;
  const auto by_state = [&](Tensor action) { return reshape(action, batch, action.size() / batch); };
  const Value all = concat_columns(by_state(policy_action), by_state(gaussian_action));
  return reshape(all, all.detached.size() / policy_action.cols, policy_action.cols).detached;
}

namespace {

// The mean squared error of a network's mean field f(s, x, t, r) to its mean-flow target, which moves along `velocity`.
MfpoPhases::RegressionLoss regression(const FlowNetwork& f, const TrainState& train_state, Tensor state, Tensor x,
                                      const FlowTimes& times, Tensor velocity, Tensor field) {
  const auto [out, gradient] = value_and_grad(
      [&](Value params) {
        const auto of = [&](Value x, Value t, Value r) { return f(params, state, x, t, r); };
        const MeanFlowIdentity m = mean_flow_identity(of, x, times, velocity, field);
        return Values<4>{mean_squared_error(m.mean_field, m.target), m.mean_field, m.derivative, m.target};
      },
      train_state.tensor());
  return {out[0].detached, out[1].detached, out[2].detached, out[3].detached, gradient.detached};
}

}  // namespace

MfpoPhases::RegressionLoss MfpoPhases::actor_loss(Tensor state, Tensor x, const FlowTimes& times,
                                                  Tensor velocity) const {
  return regression(mean_velocity, actor, state, x, times, velocity, velocity);
}

// ---- divergence network: regress the average divergence; div v by Hutchinson's estimator ----------------------------
MfpoPhases::Divergence MfpoPhases::divergence_of_velocity(Tensor state, Tensor x, Tensor t, Tensor probe) const {
  const auto [velocity, jz] = mean_velocity.directions(actor.tensor(), state, x, t, Value(), probe);
  return {velocity.detached, jz.detached, hutchinson(x.rows, probe, jz.detached)};
}

MfpoPhases::RegressionLoss MfpoPhases::divergence_loss(Tensor state, Tensor x, const FlowTimes& times,
                                                       const Divergence& v) const {
  return regression(average_divergence, divergence, state, x, times, v.velocity, v.estimate);
}

// ---- temperature: towards the target entropy, by the derivative of alpha (entropy - target) by log alpha ------------
MfpoPhases::TemperatureLoss MfpoPhases::temperature_loss(Tensor entropy) const {
  const auto [out, gradient] = value_and_grad(
      [&](Value log_alpha) { return Values<1>{exp(log_alpha) * (Value(entropy) - target_entropy_)}; },
      log_alpha.tensor());
  return {out[0].detached, gradient.detached};
}

}  // namespace meander
