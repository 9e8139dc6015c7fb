#include <meander/algos/som.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include <meander/algos/training.h>
#include <meander/kernels/error.h>

// The algorithm phase by phase, in the order of an update. Time runs from t = 1 (noise) to t = 0 (action).
namespace meander {

using kernels::Activation;
using kernels::Norm;

namespace {

constexpr int deciles = 10;
// What is logged, of the quantities that the update reports below. ess_all_d, ess_state_d: effective proposals for t in
// [d / 10, (d + 1) / 10), with Q standardised over everything and over each state.
constexpr Metric metrics_of_som[] = {
    {"critic_loss1", "critic1/loss"},
    {"critic_loss2", "critic2/loss"},
    {"actor_loss", "actor/loss"},
    {"q_mean", "proposals/q", mean},
    {"score_norm", "score", mean_length},
    {"velocity_norm", "velocity", mean_length},
    {"noise_deviation", "noise/deviation"},
    {"ess_all_0", "ess_all/0"}, {"ess_all_1", "ess_all/1"}, {"ess_all_2", "ess_all/2"}, {"ess_all_3", "ess_all/3"},
    {"ess_all_4", "ess_all/4"}, {"ess_all_5", "ess_all/5"}, {"ess_all_6", "ess_all/6"}, {"ess_all_7", "ess_all/7"},
    {"ess_all_8", "ess_all/8"}, {"ess_all_9", "ess_all/9"},
    {"ess_state_0", "ess_state/0"}, {"ess_state_1", "ess_state/1"}, {"ess_state_2", "ess_state/2"},
    {"ess_state_3", "ess_state/3"}, {"ess_state_4", "ess_state/4"}, {"ess_state_5", "ess_state/5"},
    {"ess_state_6", "ess_state/6"}, {"ess_state_7", "ess_state/7"}, {"ess_state_8", "ess_state/8"},
    {"ess_state_9", "ess_state/9"},
};
constexpr int metrics_count = std::size(metrics_of_som);

// The column of the metric of this name.
consteval int column(std::string_view name) {
  int i = 0;
  while (name != metrics_of_som[i].name) ++i;
  return i;
}

}  // namespace

Som::Som(int observations, int actions, const SomSettings& settings, uint64_t seed)
    : Learner(observations, actions, seed),
      settings_(settings),
      sampler_{settings.times == "logit_normal" ? FlowTimesSampler::Draw::logit_normal
                                                : FlowTimesSampler::Draw::uniform_below,
               settings.logit_mean, settings.logit_deviation, settings.share_equal_times},
      mean_velocity_(observations, actions,
                     {settings.actor_width, settings.actor_layers, Activation::mish, Norm::none}, actions,
                     Times::sinusoidal),
      critic_(observations, actions, {settings.critic_width, settings.critic_layers, Activation::mish, Norm::none},
              TwinCritic::Chosen::smaller, seed),
      actor_(mean_velocity_.layout.size()),
      noise_log_scale_(1),
      policy_(acts_by({.observations = observations, .actions = actions,
                       .actor = PolicyDescription::Flow{&mean_velocity_, 1, false}, .params = &actor_.params,
                       .bound = settings.bound == "tanh" ? PolicyDescription::Bound::tanh
                                                         : PolicyDescription::Bound::clip,
                       .scores = {{.layout = &critic_.layout, .network = &critic_.trunk(),
                                   .params = {&critic_.online[0].params, &critic_.online[1].params},
                                   .target = false, .atoms = {}, .smaller = true}},
                       .explore_candidates = settings.candidates, .act_candidates = settings.candidates,
                       .noise_log_scale = settings.exploration_noise ? &noise_log_scale_.params : nullptr})),
      flow_(policy_.flow()) {
  mean_velocity_.layout.initialise(actor_.params, Stream(seed, Purpose::initialise_actor, 0));
  noise_.add("log_scale", {1}, Initial::zero);
  const float log_scale = static_cast<float>(settings.noise_log_scale);
  noise_log_scale_.params.set(&log_scale);
  networks_ = networks_of({{"actor/", &mean_velocity_.layout, &actor_, true}}, critic_,
                          {{"noise/", &noise_, &noise_log_scale_, true}});
  log_metrics(metrics_of_som);
  policy_metrics_ = Buffer(metrics_count);
}

// ---- 1. critics: clipped double target, the next action chosen as for acting ----------------------------------------
void Som::update_critics(const Batch& batch, const Draws& draws, uint64_t step, std::span<float> metrics) {
  ArenaScope scope;
  Report report(*this, metrics);
  const Choice choice = best_candidate(batch.next_state, draws.next_candidate_noise);
  Tensor next = choice.chosen;
  if (settings_.exploration_noise) next = policy_.with_noise(next, draws.next_exploration_noise);
  const auto q = critic_.values(critic_.target, batch.next_state, next);
  const Tensor target = (settings_.reward_scale * Value(batch.reward) +
                         settings_.discount * (Value(batch.mask) * Value(q.chosen))).detached;
  TwinCritic::Loss loss[2];
  for (int i : {0, 1}) loss[i] = critic_.loss(i, batch.state, batch.action, target);
  report.critic_losses(loss);
  report({{"next/candidates", choice.action}, {"next/candidate_q", choice.q},
          {"next/q1", choice.q1}, {"next/q2", choice.q2}, {"next/best", choice.best},
          {"next/chosen", choice.chosen}, {"next/action", next}, {"target/q1", q.q[0]}, {"target/q2", q.q[1]},
          {"target/q", q.chosen},
          {"target/return", target}});
  report.record();
  critic_.descend(loss, {.learning_rate = settings_.learning_rate}, step);
  policy_.outdate_scores();
}

// ---- 2. the score of exp(alpha Q) seen through the diffusion --------------------------------------------------------
Som::Schedule Som::schedule(Tensor t) const {
  const double range = settings_.beta_max - settings_.beta_min;
  const Value integral = settings_.beta_min * Value(t) + (0.5 * range) * square(t);
  const Value mu = exp(-0.5 * integral);
  // 1 - exp(-y) = tanh(y / 2) (1 + exp(-y)), without the cancellation at small y.
  const Value variance = tanh(0.5 * integral) * (1 + square(mu));
  return {(range * Value(t) + settings_.beta_min).detached, mu.detached, sqrt(variance).detached};
}

Tensor Som::proposals(Tensor x, const Schedule& schedule, Tensor noise) const {
  const int64_t k = noise.rows / x.rows;
  const Value mu = schedule.mu;
  return (repeat_rows(Value(x) / mu, k) + repeat_rows(schedule.sigma / mu, k) * noise).detached;
}

Som::ProposalValues Som::proposal_values(Tensor state, Tensor action) const {
  const TwinCritic::Smaller v = critic_.smaller_and_gradient(state, action);
  return {reshape(v.q, state.rows, action.rows / state.rows).detached, v.gradient, v.q1, v.q2};
}

// Without standardise_gradient mean and standard deviation are constants of the gradient: they matter through the
// softmax and as its scale.
Som::ProposalWeights Som::proposal_weights(Tensor q, const std::string& standardise) const {
  const double alpha = settings_.inverse_temperature;
  if (standardise == "none") return {softmax(alpha * Value(q)).detached, full(1, 1, 1)};
  const bool all = standardise == "all";
  const auto standardised = [&](Value q) {
    const Value centred = q - (all ? mean_all(q) : mean_row(q));
    const Value deviation = sqrt(all ? mean_all(square(centred)) : mean_row(square(centred))) + 1e-6;
    return std::pair(centred / deviation, deviation);
  };
  const auto [qn, deviation] = standardised(q);
  Value slope;
  if (settings_.standardise_gradient)
    slope = grad([&](Value q) { return sum_all(log_sum_exp(alpha * standardised(q).first)); }, q);
  return {softmax(alpha * qn).detached, deviation.detached, slope.detached};
}

Tensor Som::score(const ProposalWeights& weights, Tensor gradient, const Schedule& schedule) const {
  if (weights.slope) {
    const Value each = reshape(weights.slope, weights.slope.size(), 1) * Value(gradient);
    return (sum_groups(each, weights.slope.cols) / schedule.mu).detached;
  }
  const Value each = reshape(weights.softmax, weights.softmax.size(), 1) * Value(gradient);
  const Value expected = sum_groups(each, weights.softmax.cols) / weights.deviation;
  return (settings_.inverse_temperature * (expected / schedule.mu)).detached;
}

Tensor Som::velocity(Tensor x, const Schedule& schedule, Tensor score) const {
  const Value direction = settings_.velocity == "exact"
                              ? Value(score)
                              : settings_.weight * (Value(score) / (sqrt(sum_row(square(score))) + 1e-8));
  const Value free = -0.5 * (Value(schedule.beta) * (Value(x) + direction));
  if (settings_.velocity != "clipped") return free.detached;
  // The difference to the free field, so that nothing cancels where nothing is clipped.
  const Value variance = square(schedule.sigma), denoised = (Value(x) + variance * direction) / schedule.mu;
  const Value outside = denoised - clip(denoised, -1, 1);
  return (free + 0.5 * (Value(schedule.beta) * (Value(schedule.mu) / variance)) * outside).detached;
}

// ---- 3. actor: regress the mean velocity; each sample weighs 1 / (its mean squared error + 1e-3) --------------------
Som::RegressionLoss Som::actor_loss(Tensor state, Tensor x, const FlowTimes& times, Tensor velocity) const {
  const auto [out, gradient] = value_and_grad(
      [&](Value params) {
        const auto u = [&](Value x, Value t, Value r) { return mean_velocity_(params, state, x, t, r); };
        const MeanFlowIdentity m = mean_flow_identity(u, x, times, velocity, velocity);
        const Value error = mean_row(square(m.mean_field - m.target));
        const Value weight = full(1, 1, 1) / (stop_gradient(error) + 1e-3);
        return Values<5>{mean_column(settings_.adaptive_weight ? weight * error : error), m.mean_field, m.derivative,
                         m.target, settings_.adaptive_weight ? weight : full(error.rows(), 1, 1)};
      },
      actor_.tensor());
  return {out[0].detached, out[1].detached, out[2].detached, out[3].detached, out[4].detached, gradient.detached};
}

// ---- one update -----------------------------------------------------------------------------------------------------
// The mean of ess over the rows with t in each tenth, reported; where there is none, over all rows.
void Som::report_by_decile(Report& report, int first_metric, Tensor t, Tensor ess) const {
  const Value all = mean_column(ess);
  for (int d = 0; d < deciles; ++d) {
    const Value at_least = 1 - less(t, full(1, 1, 0.1 * d)), below = less(t, full(1, 1, 0.1 * (d + 1)));
    const Value inside = at_least * below, count = sum_column(inside);
    const Value sum = sum_column(inside * Value(ess));
    report({{metrics_of_som[first_metric + d].quantity, select(count, sum / maximum(count, full(1, 1, 1)), all)}});
  }
}

void Som::update(const Batch& batch, uint64_t step, std::span<float> metrics) {
  ArenaScope scope;
  const int64_t rows = batch.state.rows;
  const uint64_t interval = static_cast<uint64_t>(settings_.policy_interval);
  DrawTogether draw(*this, step);
  Draws draws;
  draws.next_candidate_noise =
      draw.normals("next_candidate_noise", Purpose::next_action, rows * settings_.candidates, actions_);
  if (settings_.exploration_noise)
    draws.next_exploration_noise = draw.normals("next_exploration_noise", Purpose::next_exploration_noise, rows,
                                                actions_);
  draw.now();
  if (step % interval == 0) draws.policy = draw_policy(step / interval, rows);
  update(batch, draws, step, metrics);
}

// Of the policy's update number `step`.
Som::PolicyDraws Som::draw_policy(uint64_t step, int64_t rows) const {
  DrawTogether draw(*this, step);
  PolicyDraws d;
  d.interval_a = draw.times("interval_a", sampler_, Purpose::interval_a, rows);
  d.interval_b = draw.times("interval_b", sampler_, Purpose::interval_b, rows);
  d.interpolation_noise = draw.normals("interpolation_noise", Purpose::interpolation_noise, rows, actions_);
  d.score_noise = draw.normals("score_noise", Purpose::score_noise, rows * settings_.proposals, actions_);
  if (settings_.start == "policy") d.policy_noise = draw.normals("policy_noise", Purpose::policy_noise, rows, actions_);
  draw.now();
  return d;
}

void Som::update(const Batch& batch, const Draws& draws, uint64_t step, std::span<float> metrics) {
  update_critics(batch, draws, step, metrics);
  const uint64_t interval = static_cast<uint64_t>(settings_.policy_interval);
  if (step % interval == 0) {
    update_policy(batch.state, batch.action, nullptr, draws.policy, step / interval, metrics);
    assign(policy_metrics_.tensor(), view(metrics.data(), 1, metrics_count));
  } else {  // those of the last policy update
    constexpr int first = column("actor_loss"), count = metrics_count - first;
    assign(view(metrics.data() + first, 1, count), slice_columns(policy_metrics_.tensor(), first, count).detached);
  }
  const int64_t targets = settings_.target_interval > 0 ? settings_.target_interval : settings_.policy_interval;
  if (step % static_cast<uint64_t>(targets) == 0) critic_.follow(settings_.target_rate);
  update_noise(step, metrics);
}

void Som::improve_policy(const ActionValue& q, Tensor state, uint64_t step) {
  ArenaScope scope;
  PolicyDraws draws = draw_policy(step, state.rows);   // there is no replay: it starts from the policy's own actions
  draws.policy_noise = normals(Purpose::policy_noise, step, state.rows, actions_);
  update_policy(state, {}, &q, draws, step, {});
}

void Som::update_policy(Tensor state, Tensor replay_action, const ActionValue* given, const PolicyDraws& draws,
                        uint64_t step, std::span<float> metrics) {
  ArenaScope scope;
  Report report(*this, metrics);
  const int64_t rows = state.rows;
  const FlowTimes time = sampler_(draws.interval_a, draws.interval_b);
  const bool from_policy = given || settings_.start == "policy";
  const Tensor start = from_policy ? sample(state, draws.policy_noise) : replay_action;
  const Schedule at = schedule(time.t);
  const Tensor x = (Value(at.mu) * Value(start) + Value(at.sigma) * Value(draws.interpolation_noise)).detached;

  const Tensor action = proposals(x, at, draws.score_noise);
  const auto given_values = [&] {
    const auto v = vjp([&](Value a) { return (*given)(state, a); }, {action});
    return ProposalValues{reshape(v.out[0], rows, settings_.proposals).detached,
                          v.pull({full(action.rows, 1, 1)})[0].detached};
  };
  const ProposalValues values = given ? given_values() : proposal_values(state, action);
  const ProposalWeights weights = proposal_weights(values.q, settings_.standardise);
  const Tensor direction = score(weights, values.gradient, at);
  const Tensor v = velocity(x, at, direction);
  const RegressionLoss loss = actor_loss(state, x, time, v);
  check_finite({{"actor_loss", loss.loss, loss.gradient}});

  const double decayed = std::clamp(
      double(static_cast<int64_t>(step) - 1 - settings_.decay_start) / double(settings_.decay_length), 0.0, 1.0);
  const double rate = settings_.learning_rate + decayed * (settings_.final_learning_rate - settings_.learning_rate);
  actor_.descend(loss.gradient, {.learning_rate = rate}, static_cast<int64_t>(step));
  flow_.outdate();

  report({{"actor/t", time.t}, {"actor/r", time.r}, {"actor/start", start}, {"actor/x", x},
          {"diffusion/beta", at.beta}, {"diffusion/mu", at.mu}, {"diffusion/sigma", at.sigma},
          {"proposals/action", action}, {"proposals/q", values.q}, {"proposals/gradient", values.gradient},
          {"proposals/q1", values.q1}, {"proposals/q2", values.q2},
          {"weights/softmax", weights.softmax}, {"weights/deviation", weights.deviation},
          {"score", direction}, {"velocity", v}, {"actor/u", loss.mean_field}, {"actor/derivative", loss.derivative},
          {"actor/target", loss.target}, {"actor/sample_weight", loss.sample_weight},
          {"actor/loss", loss.loss}, {"actor/gradient", loss.gradient}});
  if (is_observed()) report({{"actor/learning_rate", full(1, 1, rate)}});
  const auto effective_sample_size = [&](const char* standardise) {
    return (full(1, 1, 1) / sum_row(square(proposal_weights(values.q, standardise).softmax))).detached;
  };
  if (!metrics.empty()) {
    const Tensor all = effective_sample_size("all"), state = effective_sample_size("state");
    report({{"ess/all", all}, {"ess/state", state}});
    report_by_decile(report, column("ess_all_0"), time.t, all);
    report_by_decile(report, column("ess_state_0"), time.t, state);
  }
  report.record();
}

// ---- 4. exploration noise: l towards the target entropy of N(0, (.1 exp l)^2) ---------------------------------------
void Som::update_noise(uint64_t step, std::span<float> metrics) {
  ArenaScope scope;
  Report report(*this, metrics);
  const Value l = noise_log_scale_.tensor(), deviation = 0.1 * exp(l);
  report({{"noise/deviation", settings_.exploration_noise ? deviation : zeros(1, 1)}});
  report.record();
  const uint64_t interval = static_cast<uint64_t>(settings_.noise_interval);
  if (!settings_.exploration_noise || step % interval != 0) return;
  // A/2 log(2 pi e deviation^2)
  const double constant = 0.5 * actions_ * std::log(2 * std::numbers::pi * std::numbers::e * 0.01);
  const Value entropy = double(actions_) * l + constant;
  // The derivative of -l (target - entropy), the bracket held.
  const Value gradient = entropy - settings_.noise_entropy_per_action * actions_;
  report({{"noise/entropy", entropy}, {"noise/loss", l * gradient}, {"noise/gradient", gradient}});
  noise_log_scale_.descend(gradient.detached, {.learning_rate = settings_.noise_learning_rate},
                           static_cast<int64_t>(step / interval));
}

void Som::report_acting(Tensor state, const DrawSource& draws) {
  const Tensor candidates = draws("eval/noise", state.rows * settings_.candidates, actions_);
  const Tensor noise = draws("explore/noise", state.rows, actions_);
  if (!candidates || !noise) return;
  Report(*this, {})({{"explore/action", with_noise(best_candidate(state, candidates).chosen, noise)}});
}

void Som::save(SafetensorsWriter& file) const {
  Learner::save(file);
  saved_metrics_ = policy_metrics_.numbers();
  file.add("policy_metrics", {std::ssize(saved_metrics_)}, saved_metrics_.data());
}

void Som::load(const SafetensorsFile& file) {
  Learner::load(file);
  // Of a version with more or fewer metrics: they are known again after the next policy update.
  const auto saved = file.values<float>("policy_metrics");
  if (std::ssize(saved) == policy_metrics_.size()) policy_metrics_.set(saved.data());
}

}  // namespace meander
