#include <meander/algos/mfpo.h>

#include <meander/kernels/error.h>

// The update as in the paper, its phases in algos/mfpo_phases.cpp. Time runs from t = 1 (noise) to t = 0 (action).
namespace meander {
namespace {

// What is logged, of the quantities that the update reports below.
constexpr Metric metrics_of_mfpo[] = {
    {"critic_loss1", "critic1/loss"},
    {"critic_loss2", "critic2/loss"},
    {"clipped_low", "target/below", mean},    // share of the target mass beyond each end of the support
    {"clipped_high", "target/above", mean},
    {"actor_loss", "actor/loss"},
    {"divergence_loss", "divergence/loss"},
    {"temperature_loss", "temperature/loss"},
    {"q_mean", "proposals/q", mean},
    {"entropy", "temperature/entropy"},
    {"alpha", "temperature/alpha"},
    {"ess1", "velocity/ess_policy", mean},
    {"ess2", "velocity/ess_gaussian", mean},
    {"lambda", "velocity/share", mean},
    {"velocity_norm", "velocity/mixed", mean_length},
};

}  // namespace

Mfpo::Mfpo(int observations, int actions, const MfpoSettings& settings, uint64_t seed)
    : Learner(observations, actions, seed),
      settings_(settings),
      adam_{settings.learning_rate},
      phases_(observations, actions, settings, seed),
      drawing_precision_(precision_of(settings.drawing_precision)),
      scoring_precision_(precision_of(settings.scoring_precision)) {
  acts_by(phases_.policy);
  networks_ = phases_.networks();
  log_metrics(metrics_of_mfpo);
}

// ---- one update -----------------------------------------------------------------------------------------------------
Mfpo::Draws Mfpo::draw(uint64_t step) const {
  const int64_t batch = settings_.batch_size;
  const int64_t policy = batch * settings_.policy_proposals, gaussian = batch * settings_.gaussian_proposals;
  DrawTogether draw(*this, step);
  Draws d;
  d.next_noise = draw.normals("next_noise", Purpose::next_action, batch, actions_);
  d.interval_a = draw.normals("interval_a", Purpose::interval_a, batch, 1);
  d.interval_b = draw.normals("interval_b", Purpose::interval_b, batch, 1);
  d.proposal_noise = draw.normals("proposal_noise", Purpose::proposal_noise, policy, actions_);
  d.flow_noise = draw.normals("flow_noise", Purpose::interpolation_noise, batch, actions_);
  d.truncated_uniform = draw.uniforms("truncated_uniform", Purpose::truncated_uniform, gaussian, actions_);
  d.divergence_interval_a = draw.normals("divergence_interval_a", Purpose::divergence_interval_a, batch, 1);
  d.divergence_interval_b = draw.normals("divergence_interval_b", Purpose::divergence_interval_b, batch, 1);
  d.divergence_noise = draw.normals("divergence_noise", Purpose::divergence_noise, batch, actions_);
  d.divergence_probe = draw.normals("divergence_probe", Purpose::divergence_probe, batch * settings_.probes, actions_);
  draw.now();
  return d;
}

void Mfpo::update(const Batch& batch, uint64_t step, std::span<float> metrics) {
  ArenaScope scope;
  update(batch, draw(step), step, metrics);
}

void Mfpo::update(const Batch& batch, const Draws& draws, uint64_t step, std::span<float> metrics) {
  update_critics(batch, draws, step, metrics);
  update_policy(batch.state, nullptr, draws, step, metrics);
}

void Mfpo::improve_policy(const ActionValue& q, Tensor state, uint64_t step) {
  ArenaScope scope;
  update_policy(state, &q, draw(step), step, {});
}

void Mfpo::update_critics(const Batch& batch, const Draws& draws, uint64_t step, std::span<float> metrics) {
  ArenaScope scope;
  Report report(*this, metrics);
  TwinCritic& critic = phases_.critic;

  // 1. Critics, on the action of the current actor at s'. The atoms z of the target critics move to the soft return
  // r + gamma mask (z - alpha log pi(a'|s')); their masses are projected back onto the atoms, and clipped double Q
  // takes the whole distribution with the smaller mean.
  const auto next = phases_.sample(batch.next_state, draws.next_noise);
  const auto logits = [&](int i) {
    return critic.outputs(critic.target[i].tensor(), batch.next_state, next.action).detached;
  };
  const Tensor target_logits[] = {logits(0), logits(1)};
  const SoftTarget target =
      soft_target(phases_.support, target_logits, batch.reward, batch.mask, next.log_prob, alpha().tensor,
                  settings_.discount, settings_.clipped_double_q);
  TwinCritic::Loss loss[2];
  for (int i : {0, 1}) loss[i] = critic.cross_entropy(i, batch.state, batch.action, target.chosen);
  report.critic_losses(loss);
  report({{"next/action", next.action}, {"next/log_prob", next.log_prob},
          {"target/logits1", target_logits[0]}, {"target/logits2", target_logits[1]},
          {"target/positions", target.positions}, {"target/projected1", target.projected[0]},
          {"target/projected2", target.projected[1]}, {"target/mean1", target.mean[0]},
          {"target/mean2", target.mean[1]}, {"target/distribution", target.chosen}, {"target/below", target.below},
          {"target/above", target.above}});
  report.record();

  // 2. Target critics follow.
  critic.descend(loss, adam_, step, settings_.target_rate);
  phases_.policy.outdate_scores();
}

void Mfpo::update_policy(Tensor state, const ActionValue* given, const Draws& draws, uint64_t step,
                         std::span<float> metrics) {
  ArenaScope scope;
  Report report(*this, metrics);
  const int64_t n = static_cast<int64_t>(step), batch = state.rows;
  TwinCritic& critic = phases_.critic;

  // 3. Actor. Proposals a_k of the action behind x_t: K1 from the policy, of which the first makes x_t, and K2 from
  // x_t = (1 - t) a + t e, e ~ N(0, 1) truncated so that a stays in [-1, 1]. Their importance weights
  //   log w = Q / alpha + log N(x_t; (1 - t) a, t^2) - log pi(a)   (policy),   Q / alpha   (Gaussian)
  // give the velocity v_i = sum_k w_k (x_t - a_k) / t of either kind, mixed by their effective sample sizes.
  const FlowTimes time = phases_.flow_times(draws.interval_a, draws.interval_b);
  const auto policy = phases_.sample(state, draws.proposal_noise, drawing_precision_);
  const Tensor first = slice_columns(reshape(policy.action, batch, policy.action.size() / batch), 0, actions_).detached;
  const Tensor x = interpolate(first, draws.flow_noise, time.t);
  GaussianProposals gaussian{};
  if (settings_.proposals != "policy") gaussian = gaussian_proposals(x, time.t, draws.truncated_uniform);
  const Tensor proposals = phases_.all_proposals(batch, policy.action, gaussian.action);
  TwinCritic::Estimates q;
  if (given) q.chosen = reshape((*given)(state, proposals), batch, proposals.rows / batch).detached;
  else q = critic.values(critic.online, state, proposals, scoring_precision_);
  const ProposalWeights w = proposal_weights(x, time.t, policy.action, policy.log_prob, q.chosen, alpha().tensor);
  const ProposalVelocity v = proposal_velocity(phases_.mixture, x, time.t, w, policy.action, gaussian.action);
  const auto actor = phases_.actor_loss(state, x, time, v.mixed);
  check_finite({{"actor_loss", actor.loss, actor.gradient}});
  phases_.actor.descend(actor.gradient, adam_, n);
  phases_.flow.outdate();

  report({{"flow/t", time.t}, {"flow/r", time.r}, {"flow/x", x},
          {"proposals/policy", policy.action}, {"proposals/log_prob", policy.log_prob},
          {"proposals/lower", gaussian.lower}, {"proposals/upper", gaussian.upper},
          {"proposals/noise", gaussian.noise}, {"proposals/gaussian", gaussian.action}, {"proposals/q1", q.q[0]},
          {"proposals/q2", q.q[1]}, {"proposals/q", q.chosen},
          {"weights/log_policy", w.log_policy}, {"weights/log_gaussian", w.log_gaussian}, {"weights/policy", w.policy},
          {"weights/gaussian", w.gaussian},
          {"velocity/policy", v.policy}, {"velocity/gaussian", v.gaussian}, {"velocity/ess_policy", v.ess_policy},
          {"velocity/ess_gaussian", v.ess_gaussian}, {"velocity/share", v.share}, {"velocity/mixed", v.mixed},
          {"actor/mean_field", actor.mean_field}, {"actor/derivative", actor.derivative},
          {"actor/target", actor.target}, {"actor/loss", actor.loss}, {"actor/gradient", actor.gradient}});

  // 4. Average divergence of the new actor.
  if (settings_.divergence_network) {
    const FlowTimes time = phases_.flow_times(draws.divergence_interval_a, draws.divergence_interval_b);
    const Tensor x = interpolate(first, draws.divergence_noise, time.t);
    const auto of_velocity = phases_.divergence_of_velocity(state, x, time.t, draws.divergence_probe);
    const auto divergence = phases_.divergence_loss(state, x, time, of_velocity);
    check_finite({{"divergence_loss", divergence.loss, divergence.gradient}});
    phases_.divergence.descend(divergence.gradient, adam_, n);

    report({{"divergence/t", time.t}, {"divergence/r", time.r}, {"divergence/x", x},
            {"divergence/velocity", of_velocity.velocity}, {"divergence/directions", of_velocity.derivative},
            {"divergence/estimate", of_velocity.estimate}, {"divergence/mean_field", divergence.mean_field},
            {"divergence/derivative", divergence.derivative}, {"divergence/target", divergence.target},
            {"divergence/loss", divergence.loss}, {"divergence/gradient", divergence.gradient}});
  } else {
    report({{"divergence/loss", zeros(1, 1)}});
  }

  // 5. Temperature, by the entropy of the proposals.
  const Tensor entropy = (-mean_all(policy.log_prob)).detached, alpha_used = alpha().tensor;
  const auto temperature = phases_.temperature_loss(entropy);
  check_finite({{"temperature_loss", temperature.loss, temperature.gradient}});
  if (settings_.tune_alpha) phases_.log_alpha.descend(temperature.gradient, adam_, n);

  report({{"temperature/entropy", entropy}, {"temperature/alpha", alpha_used}, {"temperature/loss", temperature.loss},
          {"temperature/gradient", temperature.gradient}});
  report.record();
}

}  // namespace meander
