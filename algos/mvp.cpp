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
    {"one_step_gap", "actor/one_step_gap"},
};

Mvp::Mvp(int observations, int actions, const MvpSettings& settings, uint64_t seed)
    : ChunkLearner(observations, actions, settings.chunk, seed),
      settings_(settings),
      sampler_{settings.times == "uniform" ? FlowTimesSampler::Draw::uniform : FlowTimesSampler::Draw::logit_normal,
               settings.interval_mean, settings.interval_deviation, settings.share_equal_times},
      actor_(observations, actions, settings.chunk, Times::plain, Stream(seed, Purpose::initialise_actor, 0)),
      policy_(acts_by(best_of_candidates(actor_, 1, false))),
      euler_(actor_.network, actor_.train_state.params, 20, true) {
  networks_ = networks_of({{"actor/", &actor_.network.layout, &actor_.train_state, true}}, critics_.critic);
  log_metrics(metrics_of_mvp);
}

void Mvp::parameters_changed() {
  Learner::parameters_changed();
  euler_.outdate();
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
  return settings_.lambda > 0 && settings_.constraint == "separate" ? 2 * batch : batch;
}

Mvp::Rows Mvp::rows(Tensor state, Tensor action, Tensor valid, Tensor noise, Tensor a, Tensor b) const {
  const int64_t batch = state.rows, all = row_count(batch);
  const int64_t constraint = settings_.lambda == 0 ? 0 : all / 2, unequal = all - constraint;
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
        if (rows.constraint == 0) return Values<3>{mean_flow, mean_flow, Value()};
        const Value constraint = mean_all(slice_rows(error, 0, rows.constraint));
        return Values<3>{mean_flow + settings_.lambda * constraint, mean_flow, constraint};
      },
      actor_.train_state.tensor());
  return {out[0].detached, out[1].detached, out[2].detached, gradient.detached};
}

Number Mvp::one_step_gap(Tensor state, Tensor noise) {
  const Value one = policy_.sample(state, noise), many = clip(euler_(state, noise), -1, 1);
  const Value difference = one - many;
  return mean_all(sqrt(square(difference))).detached;
}

// ---- one update -----------------------------------------------------------------------------------------------------
static constexpr int64_t gap_states = 8;

// Actor and critics step together, from the parameters before the update; then the targets follow.
void Mvp::update(const Batch& batch, uint64_t step, std::span<float> metrics) {
  ArenaScope scope;
  Report report(*this, metrics);
  const ChunkCritics::Losses critic = critic_losses(batch, step, report);

  // The policy follows the data while it has not acted, and then what the critics like best of its own.
  const int64_t n = row_count(batch.state.rows);
  const bool best = !batch.offline && settings_.target == "best";
  const Tensor action =
      best ? best_candidate(batch.state, candidate_noise(Purpose::candidate_noise, step, batch.state.rows)).chosen
           : batch.action;
  const Rows learnt = rows(batch.state, action, best ? Tensor() : valid_actions(batch),
                           normals(Purpose::interpolation_noise, step, n, chunk_actions()),
                           times(sampler_, Purpose::interval_a, step, n),
                           times(sampler_, Purpose::interval_b, step, n));
  const RegressionLoss actor = actor_loss(learnt);
  check_finite({{"actor_loss", actor.loss, actor.gradient}});
  const Tensor some = batch.state.slice_rows(0, std::min(gap_states, batch.state.rows));
  const Number gap = one_step_gap(some, normals(Purpose::gap_noise, step, some.rows, chunk_actions()));
  report({{"actor/action", action}, {"actor/t", learnt.time.t}, {"actor/r", learnt.time.r},
          {"actor/loss", actor.loss}, {"actor/mean_flow_loss", actor.mean_flow},
          {"actor/constraint_loss", actor.constraint.tensor ? actor.constraint : zeros(1, 1)},
          {"actor/gradient", actor.gradient}, {"actor/one_step_gap", gap}});
  report.record();

  critics_.critic.descend(critic.of, adam_, step, options_.target_rate);
  actor_.train_state.descend(actor.gradient, adam_, static_cast<int64_t>(step));
  policy_.outdate(), euler_.outdate();
}

// ---- settings -------------------------------------------------------------------------------------------------------
std::vector<Setting> MvpSettings::settings() {
  std::vector<Setting> all = ChunkSettings::settings();
  const std::vector<Setting> own = {
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
      {"interval_mean", &interval_mean, "", "of the logit-normal", -100, 100, {}},
      {"interval_deviation", &interval_deviation, "", "of the logit-normal", 0, 100, {}},
      {"share_equal_times", &share_equal_times, "", "share of the mean-flow rows with r = t", 0, 1, {}},
  };
  all.insert(all.end(), own.begin(), own.end());
  return all;
}

std::unique_ptr<Agent> MvpSettings::make_agent(int observations, int actions, uint64_t seed) const {
  check();
  return std::make_unique<Mvp>(observations, actions, *this, seed);
}

template std::unique_ptr<AlgorithmSettings> settings_of<MvpSettings>();

}  // namespace meander
