#include <meander/algos/mfpo.h>

#include <cmath>

#include <meander/kernels/error.h>

// The algorithm phase by phase, in the order of an update (at the end). Time runs from t = 1 (noise) to t = 0 (action).
namespace meander {

static kernels::Precision precision_of(const std::string& name) {
  using kernels::Precision;
  return name == "tf32" ? Precision::tf32 : name == "bfloat16" ? Precision::bfloat16 : Precision::float32;
}

Mfpo::Mfpo(int observations, int actions, const MfpoSettings& settings, uint64_t seed)
    : Learner(observations, actions, seed),
      settings_(settings),
      sampler_{IntervalSampler::Draw::logit_normal, settings.interval_mean, settings.interval_deviation,
               settings.share_equal_times},
      adam_{settings.learning_rate},
      mean_velocity_(observations, actions, {settings.actor_width, settings.actor_layers}, actions, Times::fourier),
      average_divergence_(observations, actions, {settings.actor_width, settings.actor_layers}, 1, Times::fourier),
      critic_network_(observations, actions, {settings.critic_width, settings.critic_layers}, settings.atoms,
                      settings.v_min, settings.v_max),
      actor_(mean_velocity_.layout.size()),
      divergence_(average_divergence_.layout.size()),
      critic_{Trained(critic_network_.layout.size()), Trained(critic_network_.layout.size())},
      log_alpha_(1),
      target_{Trained(critic_network_.layout.size()), Trained(critic_network_.layout.size())},
      drawing_precision_(precision_of(settings.drawing_precision)),
      scoring_precision_(precision_of(settings.scoring_precision)),
      policy_(acts_by({.observations = observations, .actions = actions,
                       .actor = PolicyDescription::Flow{&mean_velocity_, settings.sampling_steps,
                                                        settings.share_equal_times == 1},
                       .params = &actor_.params, .precision = precision_of(settings.acting_precision),
                       .scores = {{.layout = &critic_network_.layout, .network = &critic_network_.trunk(),
                                   .params = {&target_[0].params, &target_[1].params}, .target = true,
                                   .atoms = critic_network_.atoms(), .smaller = settings.clipped_double_q}},
                       .act_candidates = settings.evaluation_candidates})),
      flow_(policy_.flow()) {
  temperature_.add("log_alpha", {1}, Initial::zero);
  mean_velocity_.layout.initialise(actor_.params, Stream(seed, Purpose::initialise_actor, 0));
  average_divergence_.layout.initialise(divergence_.params, Stream(seed, Purpose::initialise_divergence, 0));
  critic_network_.layout.initialise(critic_[0].params, Stream(seed, Purpose::initialise_critic1, 0));
  critic_network_.layout.initialise(critic_[1].params, Stream(seed, Purpose::initialise_critic2, 0));
  for (int i : {0, 1}) target_[i].params.copy_from(critic_[i].params);
  const float log_alpha = static_cast<float>(std::log(settings.alpha));
  log_alpha_.params.set(&log_alpha);

  const ParameterLayout* critic = &critic_network_.layout;
  networks_ = {{"actor/", &mean_velocity_.layout, &actor_, true},
               {"divergence/", &average_divergence_.layout, &divergence_, true},
               {"critic1/", critic, &critic_[0], true},
               {"critic2/", critic, &critic_[1], true},
               {"temperature/", &temperature_, &log_alpha_, true},
               {"target1/", critic, &target_[0], false},
               {"target2/", critic, &target_[1], false}};
}

Number Mfpo::alpha() const {
  const Value alpha = exp(log_alpha_.tensor());
  return settings_.alpha_floor > 0 ? maximum(alpha, full(1, 1, settings_.alpha_floor)).tensor : alpha.tensor;
}

Tensor Mfpo::both(Value q1, Value q2) const {
  return (settings_.clipped_double_q ? minimum(q1, q2) : 0.5 * (q1 + q2)).tensor;
}

// ---- the sampler: z ~ N(0, I) at t = 1, T steps x <- x - u / T down to t = 0 ----------------------------------------
// log p(x) = log N(z) + sum of delta / T: the average divergence is what the log-density gains along the flow.
Mfpo::FlowSample Mfpo::sample(Tensor state, Tensor noise, kernels::Precision precision) const {
  Value logp = normal_log_prob(noise);
  const Value divergence = divergence_.tensor();
  Value of_state, of_times;
  if (settings_.divergence_network) {
    of_state = average_divergence_.share_of_state(divergence, state);
    of_times = flow_.times_of(average_divergence_, divergence);
  }
  const auto gain = [&](int64_t i, Tensor x) {
    if (!settings_.divergence_network) return;
    const Value delta = average_divergence_.from_share(divergence, of_state + slice_rows(of_times, i, 1), x, precision);
    logp = add_scaled(logp, 1.0 / double(settings_.sampling_steps), delta);
  };
  const Tensor x = flow_(state, noise, precision, gain);
  return {clip(x, -1, 1).tensor, logp.tensor};
}

// ---- 1. critics: distributional soft Bellman target, cross-entropy --------------------------------------------------
Tensor Mfpo::target_logits(int critic, Tensor state, Tensor action) const {
  return critic_network_.logits(target_[critic].tensor(), state, action).tensor;
}

// The atoms z of the target critics move to r + gamma mask (z - alpha log pi(a'|s')): the soft return. Their masses are
// projected back onto the atoms, and clipped double Q takes the whole distribution with the smaller mean.
Mfpo::TargetDistribution Mfpo::target_distribution(const Batch& batch, Tensor next_log_prob,
                                                   const Tensor (&logits)[2]) const {
  const Support support{critic_network_.atoms(), settings_.v_min, settings_.v_max};
  TargetDistribution d;
  static_cast<SoftTarget&>(d) = soft_target(support, logits, batch.reward, batch.mask, next_log_prob, alpha().tensor,
                                            settings_.discount, settings_.clipped_double_q);
  d.clipped_low = mean_all(d.below).tensor;
  d.clipped_high = mean_all(d.above).tensor;
  return d;
}

Mfpo::CriticLoss Mfpo::critic_loss(int critic, Tensor state, Tensor action, Tensor target) const {
  const auto [out, gradient] = value_and_grad(
      [&](Value params) {
        const Value logits = critic_network_.logits(params, state, action);
        return Values<2>{cross_entropy(target, logits), logits};
      },
      critic_[critic].tensor());
  return {out[0].tensor, out[1].tensor, gradient.tensor};
}

// ---- 3. actor: regress the mean velocity on the flow towards exp(Q / alpha) -----------------------------------------
Tensor Mfpo::first_proposal(Tensor policy_action, int64_t batch) const {
  return slice_columns(reshape(policy_action, batch, policy_action.size() / batch), 0, actions_).tensor;
}

// e ~ N(0, 1) truncated so that a = (x_t - t e) / (1 - t) stays in [-1, 1].
Mfpo::GaussianProposals Mfpo::gaussian_proposals(Tensor x, Tensor t, Tensor uniform) const {
  return meander::gaussian_proposals(x, t, uniform);
}

Tensor Mfpo::all_proposals(Tensor policy_action, Tensor gaussian_action, int64_t batch) const {
  const auto by_state = [&](Tensor action) { return reshape(action, batch, action.size() / batch); };
  if (!gaussian_action) return policy_action;
  const Value all = concat_columns(by_state(policy_action), by_state(gaussian_action));
  return reshape(all, all.tensor.size() / actions_, actions_).tensor;
}

Mfpo::ProposalValues Mfpo::proposal_values(Tensor state, Tensor action) const {
  ProposalValues v;
  for (int i : {0, 1})
    v.q[i] = reshape(critic_network_.value(critic_[i].tensor(), state, action, scoring_precision_), state.rows,
                     action.rows / state.rows).tensor;
  v.chosen = both(v.q[0], v.q[1]);
  return v;
}

// Self-normalised importance weights: log w = Q / alpha + log N(x_t; (1 - t) a, t^2) - log pi(a) for policy proposals;
// Gaussian proposals are drawn from the second factor, so Q / alpha is left.
Mfpo::ProposalWeights Mfpo::proposal_weights(Tensor x, Tensor t, const FlowSample& policy, Tensor q) const {
  return meander::proposal_weights(x, t, policy.action, policy.log_prob, q, alpha().tensor);
}

// v_i = sum_k w_k (x_t - a_k) / t from either set of proposals, mixed by their effective sample sizes:
// v = lambda v_1 + (1 - lambda) v_2, lambda = ESS_1 / (ESS_1 + ESS_2), ESS_i = 1 / sum_k w_k^2.
Mfpo::Velocity Mfpo::velocity(Tensor x, Tensor t, const ProposalWeights& weights, Tensor policy_action,
                              Tensor gaussian_action) const {
  const kernels::Mixture mixture = settings_.proposals == "gaussian" ? kernels::Mixture::gaussian
                                   : settings_.mixture == "half"     ? kernels::Mixture::half
                                                                     : kernels::Mixture::ess;
  return proposal_velocity(mixture, x, t, weights, policy_action, gaussian_action);
}

Mfpo::RegressionLoss Mfpo::actor_loss(Tensor state, Tensor x, const Interval& interval, Tensor velocity) const {
  const auto [out, gradient] = value_and_grad(
      [&](Value params) {
        const auto u = [&](Value x, Value t, Value r) { return mean_velocity_(params, state, x, t, r); };
        const MeanFlowIdentity m = mean_flow_identity(u, x, interval, velocity, velocity);
        return Values<4>{mean_squared_error(m.mean_field, m.target), m.mean_field, m.derivative, m.target};
      },
      actor_.tensor());
  return {out[0].tensor, out[1].tensor, out[2].tensor, out[3].tensor, gradient.tensor};
}

// ---- 4. divergence net: regress the average divergence; div v by Hutchinson's estimator -----------------------------
Mfpo::Divergence Mfpo::hutchinson(Tensor state, Tensor x, Tensor t, Tensor probe) const {
  const auto [velocity, jz] = mean_velocity_.directions(actor_.tensor(), state, x, t, Value(), probe);
  Divergence d;
  d.velocity = velocity.tensor;
  d.derivative = jz.tensor;
  d.estimate = meander::hutchinson(x.rows, probe, jz.tensor);
  return d;
}

Mfpo::RegressionLoss Mfpo::divergence_loss(Tensor state, Tensor x, const Interval& interval,
                                           const Divergence& divergence) const {
  const auto [out, gradient] = value_and_grad(
      [&](Value params) {
        const auto delta = [&](Value x, Value t, Value r) { return average_divergence_(params, state, x, t, r); };
        const MeanFlowIdentity m =
            mean_flow_identity(delta, x, interval, divergence.velocity, divergence.estimate);
        return Values<4>{mean_squared_error(m.mean_field, m.target), m.mean_field, m.derivative, m.target};
      },
      divergence_.tensor());
  return {out[0].tensor, out[1].tensor, out[2].tensor, out[3].tensor, gradient.tensor};
}

// ---- 5. temperature: towards the target entropy ---------------------------------------------------------------------
Mfpo::TemperatureLoss Mfpo::temperature_loss(Tensor entropy) const {
  const double target_entropy = settings_.target_entropy_per_action * actions_;
  const auto [out, gradient] = value_and_grad(
      [&](Value log_alpha) { return Values<1>{exp(log_alpha) * (Value(entropy) - target_entropy)}; },
      log_alpha_.tensor());
  return {out[0].tensor, gradient.tensor};
}

// ---- one update -----------------------------------------------------------------------------------------------------
namespace {

enum Metric {
  critic_loss1, critic_loss2, clipped_low, clipped_high, actor_loss_, divergence_loss_, temperature_loss_, q_mean,
  entropy_, alpha_, ess1, ess2, lambda, velocity_norm, metrics_count
};
constexpr const char* metrics_of_mfpo[] = {
    "critic_loss1", "critic_loss2", "clipped_low", "clipped_high", "actor_loss", "divergence_loss", "temperature_loss",
    "q_mean", "entropy", "alpha", "ess1", "ess2", "lambda", "velocity_norm"};
static_assert(std::size(metrics_of_mfpo) == metrics_count);

}  // namespace

std::span<const char* const> Mfpo::metric_names() const { return metrics_of_mfpo; }

Mfpo::Draws Mfpo::draw(uint64_t step) const {
  const int64_t batch = settings_.batch_size;
  DrawTogether draw(*this, step);
  Draws d;
  d.next_noise = draw.normals(Purpose::next_action, batch, actions_);
  d.interval_a = draw.normals(Purpose::interval_a, batch, 1);
  d.interval_b = draw.normals(Purpose::interval_b, batch, 1);
  d.proposal_noise = draw.normals(Purpose::proposal_noise, batch * settings_.policy_proposals, actions_);
  d.flow_noise = draw.normals(Purpose::interpolation_noise, batch, actions_);
  d.truncated_uniform = draw.uniforms(Purpose::truncated_uniform, batch * settings_.gaussian_proposals, actions_);
  d.divergence_interval_a = draw.normals(Purpose::divergence_interval_a, batch, 1);
  d.divergence_interval_b = draw.normals(Purpose::divergence_interval_b, batch, 1);
  d.divergence_noise = draw.normals(Purpose::divergence_noise, batch, actions_);
  d.divergence_probe = draw.normals(Purpose::divergence_probe, batch * settings_.probes, actions_);
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
  update_policy(state, &q, draw(step), step, {empty(1, metrics_count).f32(), metrics_count});
}

void Mfpo::update_critics(const Batch& batch, const Draws& draws, uint64_t step, std::span<float> metrics) {
  ArenaScope scope;
  // 1. Critics, on the action of the current actor at s'.
  const FlowSample next = sample(batch.next_state, draws.next_noise);
  const Tensor logits[2] = {target_logits(0, batch.next_state, next.action),
                            target_logits(1, batch.next_state, next.action)};
  const TargetDistribution target = target_distribution(batch, next.log_prob, logits);
  CriticLoss critic[2];
  for (int i : {0, 1}) critic[i] = critic_loss(i, batch.state, batch.action, target.chosen);
  check_finite({{"critic_loss1", critic[0].loss, critic[0].gradient}, {"critic_loss2", critic[1].loss, critic[1].gradient}});
  record(metrics, {{critic_loss1, critic[0].loss}, {critic_loss2, critic[1].loss},
                   {clipped_low, target.clipped_low}, {clipped_high, target.clipped_high}});
  // 2. Target critics follow.
  descend({{critic_[0], critic[0].gradient, &target_[0]}, {critic_[1], critic[1].gradient, &target_[1]}}, adam_,
          static_cast<int64_t>(step), settings_.target_rate);
  policy_.outdate_scores();
}

void Mfpo::update_policy(Tensor state, const ActionValue* given, const Draws& draws, uint64_t step,
                         std::span<float> metrics) {
  ArenaScope scope;
  const int64_t n = static_cast<int64_t>(step);

  // 3. Actor.
  const Interval time = interval(draws.interval_a, draws.interval_b);
  const FlowSample policy = sample(state, draws.proposal_noise, drawing_precision_);
  const Tensor first = first_proposal(policy.action, state.rows);
  const Tensor x = interpolate(first, draws.flow_noise, time.t);
  GaussianProposals gaussian{};
  if (settings_.proposals != "policy") gaussian = gaussian_proposals(x, time.t, draws.truncated_uniform);
  const Tensor proposals = all_proposals(policy.action, gaussian.action, state.rows);
  const Tensor q = given ? reshape((*given)(state, proposals), state.rows, proposals.rows / state.rows).tensor
                         : proposal_values(state, proposals).chosen;
  const ProposalWeights weights = proposal_weights(x, time.t, policy, q);
  const Velocity v = velocity(x, time.t, weights, policy.action, gaussian.action);
  const RegressionLoss actor = actor_loss(state, x, time, v.mixed);
  check_finite({{"actor_loss", actor.loss, actor.gradient}});
  actor_.descend(actor.gradient, adam_, n);
  flow_.outdate();

  // 4. Average divergence of the new actor.
  RegressionLoss divergence{};
  if (settings_.divergence_network) {
    const Interval time = interval(draws.divergence_interval_a, draws.divergence_interval_b);
    const Tensor x = interpolate(first, draws.divergence_noise, time.t);
    divergence = divergence_loss(state, x, time, hutchinson(state, x, time.t, draws.divergence_probe));
    check_finite({{"divergence_loss", divergence.loss, divergence.gradient}});
    divergence_.descend(divergence.gradient, adam_, n);
  }

  // 5. Temperature, by the entropy of the proposals.
  const Tensor entropy = (-mean_all(policy.log_prob)).tensor, alpha_used = alpha().tensor;
  const TemperatureLoss temperature = temperature_loss(entropy);
  check_finite({{"temperature_loss", temperature.loss, temperature.gradient}});
  if (settings_.tune_alpha) log_alpha_.descend(temperature.gradient, adam_, n);

  record(metrics, {{actor_loss_, actor.loss},
                   {divergence_loss_, divergence.loss.tensor ? divergence.loss : zeros(1, 1)},
                   {temperature_loss_, temperature.loss},
                   {q_mean, mean_all(q)},
                   {entropy_, entropy},
                   {alpha_, alpha_used},
                   {ess1, mean_all(v.ess_policy)},
                   {ess2, mean_all(v.ess_gaussian)},
                   {lambda, mean_all(v.share)},
                   {velocity_norm, mean_all(sqrt(sum_row(square(v.mixed))))}});
}

}  // namespace meander
