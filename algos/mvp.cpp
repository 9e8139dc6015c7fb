#include <meander/algos/mvp.h>

#include <meander/algos/algorithm.h>

// The algorithm phase by phase, in the order of an update. Time runs from t = 1 (noise) to t = 0 (action).
namespace meander {

// What is logged, of the quantities that the update reports below.
static constexpr Metric metrics_of_mvp[] = {
    {"critic_loss1", "critic1/loss"},
    {"critic_loss2", "critic2/loss"},
    {"actor_loss", "actor/loss"},
    {"mean_flow_loss", "actor/mean_flow_loss"},
    {"constraint_loss", "actor/constraint_loss"},
};

Mvp::Mvp(int observations, int actions, const MvpSettings& settings, uint64_t seed)
    : ChunkLearner(observations, actions, settings.chunk, seed),
      settings_(settings),
      sampler_{settings.times == "uniform" ? FlowTimesSampler::Draw::uniform : FlowTimesSampler::Draw::logit_normal,
               settings.logit_mean, settings.logit_deviation, settings.share_equal_times},
      actor_(observations, actions, settings.chunk, Times::plain, Stream(seed, Purpose::initialise_actor, 0)),
      policy_(acts_by(best_of_candidates(actor_, 1, false))) {
  networks_ = networks_of({{"actor/", &actor_.network.layout, &actor_.train_state, true}}, critics_.critic);
  log_metrics(metrics_of_mvp);
}

// ---- the rows: half of the batch for each loss (split), or all of it for both (separate) ----------------------------
namespace {

Tensor stack(Tensor a, Tensor b) {
  if (a.rows == 0) return b;
  const int64_t rows = a.rows + b.rows;
  return (pad_rows(a, 0, rows) + pad_rows(b, a.rows, rows)).detached;
}

}  // namespace

int64_t Mvp::row_count(int64_t batch) const {
  return settings_.constraint == "separate" ? 2 * batch : batch;
}

Mvp::Rows Mvp::rows(Tensor state, Tensor action, Tensor valid, Tensor noise, Tensor a, Tensor b) const {
  const int64_t batch = state.rows, all = row_count(batch);
  const int64_t constraint = all / 2, unequal = all - constraint;
  const auto last = [&](Tensor x) { return x.slice_rows(constraint, unequal); };
  const FlowTimes time = sampler_(last(a), last(b));
  // Split, the constraint's rows have the times t of the others; separate, draws of their own.
  Tensor t = time.t.slice_rows(0, std::min(constraint, unequal));
  if (all > batch) t = sampler_(a.slice_rows(0, constraint), b.slice_rows(0, constraint)).t;

  const auto twice = [&](Tensor x) { return x && all > batch ? stack(x, x) : x; };
  return {constraint, twice(state), twice(action), noise, twice(valid),
          {stack(t, time.t), stack(t, time.r), time.unequal}};
}

// ---- the policy's losses --------------------------------------------------------------------------------------------
Mvp::RegressionLoss Mvp::actor_loss(const Rows& rows) const {
  const Tensor x = interpolate(rows.action, rows.noise, rows.time.t);
  const Tensor velocity = (Value(rows.noise) - Value(rows.action)).detached;
  const auto [out, gradient] = value_and_grad(
      [&](Value params) {
        const auto u = [&](Value x, Value t, Value r) { return actor_.network(params, rows.state, x, t, r); };
        const MeanFlowIdentity m = mean_flow_identity(u, x, rows.time, velocity, velocity);
        Value error = square(m.mean_field - m.target);
        if (settings_.adaptive_weight) error = error / sqrt(stop_gradient(error) + 1e-3);
        if (rows.valid) error = error * Value(rows.valid);
        const Value mean_flow = mean_all(slice_rows(error, rows.constraint, x.rows - rows.constraint));
        const Value constraint =   // a batch of one leaves it no row
            rows.constraint > 0 ? mean_all(slice_rows(error, 0, rows.constraint)) : Value(zeros(1, 1, x.dtype));
        return Values<6>{mean_flow + settings_.lambda * constraint, mean_flow, constraint, m.mean_field, m.derivative,
                         m.target};
      },
      actor_.train_state.tensor());
  return {out[0].detached, out[1].detached, out[2].detached, x, velocity,
          out[3].detached, out[4].detached, out[5].detached, gradient.detached};
}

// ---- one update -----------------------------------------------------------------------------------------------------
void Mvp::update(const Batch& batch, uint64_t step, std::span<float> metrics) {
  ArenaScope scope;
  const int64_t rows = batch.state.rows, all = row_count(rows), candidates = rows * options_.candidates;
  DrawTogether draw(*this, step);
  Draws draws;
  draws.next_candidate_noise = draw.normals("next_candidate_noise", Purpose::next_action, candidates, chunk_actions());
  // The policy follows the data while it has not acted, and then what the critics like best of its own.
  if (!batch.offline && settings_.target == "best")
    draws.candidate_noise = draw.normals("candidate_noise", Purpose::candidate_noise, candidates, chunk_actions());
  draws.interpolation_noise = draw.normals("interpolation_noise", Purpose::interpolation_noise, all, chunk_actions());
  draws.interval_a = draw.times("interval_a", sampler_, Purpose::interval_a, all);
  draws.interval_b = draw.times("interval_b", sampler_, Purpose::interval_b, all);
  draw.now();
  update(batch, draws, step, metrics);
}

// Actor and critics step together, from the parameters before the update; then the targets follow.
void Mvp::update(const Batch& batch, const Draws& draws, uint64_t step, std::span<float> metrics) {
  Report report(*this, metrics);
  const ChunkCritics::Losses critic = critic_losses(batch, draws.next_candidate_noise, report);

  const bool best = bool(draws.candidate_noise);
  const Choice choice = best ? best_candidate(batch.state, draws.candidate_noise) : Choice{};
  const Tensor action = best ? choice.chosen : batch.action;
  const Rows regressed = rows(batch.state, action, best ? Tensor() : valid_actions(batch), draws.interpolation_noise,
                              draws.interval_a, draws.interval_b);
  const RegressionLoss actor = actor_loss(regressed);
  check_finite({{"actor_loss", actor.loss, actor.gradient}});
  report({{"actor/candidates", choice.action}, {"actor/candidate_q", choice.q}, {"actor/candidate_q1", choice.q1},
          {"actor/candidate_q2", choice.q2}, {"actor/best", choice.best}});
  report({{"actor/row_action", regressed.action}, {"actor/valid", regressed.valid}, {"actor/t", regressed.time.t},
          {"actor/r", regressed.time.r}, {"actor/x", actor.x}, {"actor/velocity", actor.velocity},
          {"actor/u", actor.mean_field}, {"actor/derivative", actor.derivative}, {"actor/target", actor.target}});
  report({{"actor/action", action}, {"actor/loss", actor.loss}, {"actor/mean_flow_loss", actor.mean_flow},
          {"actor/constraint_loss", actor.constraint},
          {"actor/gradient", actor.gradient}});
  if (is_observed() && settings_.adaptive_weight) {
    const Value squared = square(Value(actor.mean_field) - Value(actor.target));
    report({{"actor/element_weight", full(1, 1, 1) / sqrt(squared + 1e-3)}});
  }
  report.record();

  critics_.critic.descend(critic.of, adam_, step, options_.target_rate);
  actor_.train_state.descend(actor.gradient, adam_, static_cast<int64_t>(step));
  policy_.outdate();
}

void Mvp::report_acting(Tensor state, const DrawSource& draws) {
  const Tensor noise = draws("gap/noise", state.rows, chunk_actions());
  if (noise) Report(*this, {})({{"gap/mean_absolute_clipped", policy_.one_step_gap(state, noise, 20)}});
}

// ---- settings -------------------------------------------------------------------------------------------------------
std::vector<Setting> MvpSettings::settings() {
  return settings_and({
      {"target", &target, "",
       "what the policy regresses on when it has acted: the best candidate, or the replay's chunk (always so offline)",
       0, 0, {"best", "replay"}},
      {"lambda", &lambda, "", "weight of the instantaneous velocity constraint", 0, 1e6, {}},
      {"constraint", &constraint, "", "a half of the batch for each loss with the same t, or both losses on all of it",
       0, 0, {"split", "separate"}},
      {"adaptive_weight", &adaptive_weight, "", "elements weigh (their squared error + 1e-3)^-1/2 in the losses", 0, 0,
       {}},
      {"times", &times, "", "t and r are the larger and the smaller of two such draws", 0, 0,
       {"logit_normal", "uniform"}},
      {"logit_mean", &logit_mean, "", "mean of logit t, of which times are drawn", -100, 100, {}},
      {"logit_deviation", &logit_deviation, "", "standard deviation of logit t", 0, 100, {}},
      {"share_equal_times", &share_equal_times, "", "share of the mean-flow rows with r = t", 0, 1, {}},
  });
}

std::unique_ptr<Agent> MvpSettings::make_agent(int observations, int actions, uint64_t seed) const {
  check();
  return std::make_unique<Mvp>(observations, actions, *this, seed);
}

template std::unique_ptr<AlgorithmSettings> settings_of<MvpSettings>();

}  // namespace meander
