#include <meander/algos/flow_map.h>

#include <algorithm>
#include <numeric>

#include <meander/algos/algorithm.h>
#include <meander/algos/training.h>

// The algorithm phase by phase. Time runs from t = 1 (noise) to t = 0 (action).
namespace meander {

// What is logged, of the quantities that the update reports below.
static constexpr Metric metrics_of_flow_map[] = {
    {"critic_loss1", "critic1/loss"},
    {"critic_loss2", "critic2/loss"},
    {"actor_loss", "actor/loss"},
    {"q_target_loss", "actor/q_loss"},
    {"self_distillation_loss", "actor/self_loss"},
    {"diagonal_loss", "actor/diagonal_loss"},
    {"critic_spread", "anchor/spread", mean},
    {"radius", "anchor/radius", mean},
    {"displacement", "anchor/displacement"},   // mean of (u - u_anchor)^2: from 0 towards eta^2 / (h A)
};

FlowMap::FlowMap(int observations, int actions, const FlowMapSettings& settings, uint64_t seed)
    : ChunkLearner(observations, actions, settings.chunk, seed),
      settings_(settings),
      actor_(observations, actions, settings.chunk, settings.time_features ? Times::features : Times::plain,
             Stream(seed, Purpose::initialise_actor, 0), settings.time_features),
      anchor_(observations, actions, settings.chunk, settings.time_features ? Times::features : Times::plain,
              Stream(seed, Purpose::initialise_actor, 0), settings.time_features),
      policy_(acts_by(best_of_candidates(actor_, 1, false))),
      beam_(settings.beam_rounds > 0 || settings.beam_step > 0) {
  networks_ = networks_of({{"actor/", &actor_.network.layout, &actor_.train_state, true},
                           {"anchor/", &anchor_.network.layout, &anchor_.train_state, false}},
                          critics_.critic);
  log_metrics(metrics_of_flow_map);
  value_by_phase();
}

// ---- the change of phase: the anchor, and how two critics make one value --------------------------------------------
void FlowMap::begin_online() {
  anchor_.train_state.params.copy_from(actor_.train_state.params);
  online_ = 1;
  value_by_phase();
}

void FlowMap::value_by_phase() {
  const bool smaller = (online_ ? settings_.online_value : settings_.offline_value) == "min";
  critics_.critic.choose_by(smaller ? TwinCritic::Chosen::smaller : TwinCritic::Chosen::mean);
  policy_.rank_by_smaller(smaller);
}

void FlowMap::save(SafetensorsWriter& file) const {
  Learner::save(file);
  file.add("online", {1}, &online_);
}

void FlowMap::load(const SafetensorsFile& file) {
  Learner::load(file);
  online_ = file.values<uint8_t>("online", 1)[0];
  value_by_phase();
}

// ---- the data's losses: the interval grows from nothing to full length ----------------------------------------------
FlowTimes FlowMap::growing_interval(Tensor a, Tensor b, double growth) {
  const Value middle = 0.5 * (Value(a) + Value(b)), half = 0.5 * growth * (maximum(a, b) - minimum(a, b));
  return {(middle + half).detached, (middle - half).detached, a.rows};
}

double FlowMap::growth(uint64_t step) const {
  return std::clamp((double(step) - double(settings_.growth_start)) / double(settings_.growth_length), 0.0, 1.0);
}

// ---- online: a bounded step along the unit gradient of Q ------------------------------------------------------------
Tensor FlowMap::unit(Tensor gradient) const {
  if (!settings_.normalise_gradient) return gradient;
  return (Value(gradient) / (sqrt(sum_row(square(gradient))) + 1e-8)).detached;
}

FlowMap::QTarget FlowMap::q_target(const Batch& batch, Tensor noise, Tensor t) const {
  const TwinCritic& critic = critics_.critic;
  const Tensor x = interpolate(batch.action, noise, t), zero = zeros(1, 1);
  const auto action_of = [&](const ChunkFlow& flow, Value velocity) {
    if (!velocity) velocity = flow.network(flow.train_state.tensor(), batch.state, x, t, zero);
    return std::pair(velocity.detached, clip(x - Value(t) * velocity, -1, 1).detached);
  };
  const auto [velocity, action] = action_of(anchor_, {});
  auto [q1, gradient] = critic.value_and_gradient(critic.online[0].tensor(), batch.state, action);
  if (settings_.gradient_at == "policy")
    gradient = critic.value_and_gradient(critic.online[0].tensor(), batch.state, action_of(actor_, {}).second).second;
  const Value q2 = critic.value(critic.online[1].tensor(), batch.state, action);
  const Value spread = 0.5 * (maximum(q1, q2) - minimum(q1, q2));
  Value radius = full(batch.state.rows, 1, settings_.trust_radius);
  if (settings_.adaptive_radius)
    radius = radius / (1 + settings_.disagreement * (spread / (mean_all(spread) + 1e-8)));
  const Value target = velocity - radius * Value(unit(gradient.detached));
  return {x, velocity, action, q1.detached, q2.detached, gradient.detached, spread.detached, radius.detached,
          target.detached};
}

FlowMap::RegressionLoss FlowMap::actor_loss(const Batch& batch, const Draws& draws, const QTarget& q,
                                            uint64_t step) const {
  const Tensor valid = valid_actions(batch), state = batch.state, action = batch.action;
  const auto mean_error = [&](Value u, Value target) { return mean_all(square(u - target) * Value(valid)); };
  const double weight_self = batch.offline ? double(double(step) > double(settings_.growth_start))
                                           : settings_.online_self_distillation;
  const double weight_diagonal = batch.offline ? 1.0 : settings_.online_diagonal;

  RegressionLoss l{};
  l.valid = valid;
  if (draws.diagonal_noise) {
    l.self_time = growing_interval(draws.interval_a, draws.interval_b, batch.offline ? growth(step) : 1);
    l.self_x = interpolate(action, draws.self_noise, l.self_time.t);
    l.self_velocity = (Value(draws.self_noise) - Value(action)).detached;
    l.diagonal_x = interpolate(action, draws.diagonal_noise, draws.diagonal_time);
    l.diagonal_velocity = (Value(draws.diagonal_noise) - Value(action)).detached;
  }
  const auto [out, gradient] = value_and_grad(
      [&](Value params) {
        const auto u = [&](Value x, Value t, Value r) { return actor_.network(params, state, x, t, r); };
        const Value none = zeros(1, 1);
        Value loss, loss_q = none, loss_self = none, loss_diagonal = none, q_u, diagonal_u;
        MeanFlowIdentity m{};
        if (q.x) {
          q_u = u(q.x, draws.time, none);
          loss = loss_q = mean_error(q_u, q.target);
        }
        if (draws.diagonal_noise) {
          m = mean_flow_identity(u, l.self_x, l.self_time, l.self_velocity, l.self_velocity);
          loss_self = mean_error(m.mean_field, m.target);
          diagonal_u = u(l.diagonal_x, draws.diagonal_time, Value());
          loss_diagonal = mean_error(diagonal_u, l.diagonal_velocity);
          loss = loss + weight_self * loss_self + weight_diagonal * loss_diagonal;
        }
        return Values<9>{loss, loss_q, loss_self, loss_diagonal, q_u, m.mean_field, m.derivative, m.target, diagonal_u};
      },
      actor_.train_state.tensor());
  l.loss = out[0].detached, l.q = out[1].detached, l.self = out[2].detached, l.diagonal = out[3].detached;
  l.q_u = out[4].detached, l.self_u = out[5].detached, l.derivative = out[6].detached;
  l.self_target = out[7].detached, l.diagonal_u = out[8].detached;
  l.gradient = gradient.detached;
  return l;
}

// ---- one update -----------------------------------------------------------------------------------------------------
void FlowMap::update(const Batch& batch, uint64_t step, std::span<float> metrics) {
  ArenaScope scope;
  const int64_t rows = batch.state.rows, numbers = chunk_actions();
  DrawTogether draw(*this, step);
  Draws d;
  d.next_candidate_noise =
      draw.normals("next_candidate_noise", Purpose::next_action, rows * options_.candidates, numbers);
  if (!batch.offline) {
    d.interpolation_noise = draw.normals("interpolation_noise", Purpose::interpolation_noise, rows, numbers);
    d.time = draw.uniforms("time", Purpose::truncated_uniform, rows, 1);
  }
  if (batch.offline || settings_.online_self_distillation > 0 || settings_.online_diagonal > 0) {
    d.diagonal_noise = draw.normals("diagonal_noise", Purpose::diagonal_noise, rows, numbers);
    d.diagonal_time = draw.uniforms("diagonal_time", Purpose::diagonal_time, rows, 1);
    d.self_noise = draw.normals("self_noise", Purpose::self_noise, rows, numbers);
    d.interval_a = draw.uniforms("interval_a", Purpose::interval_a, rows, 1);
    d.interval_b = draw.uniforms("interval_b", Purpose::interval_b, rows, 1);
  }
  draw.now();
  update(batch, d, step, metrics);
}

// Actor and critics step together, from the parameters before the update; then the targets follow.
void FlowMap::update(const Batch& batch, const Draws& draws, uint64_t step, std::span<float> metrics) {
  Report report(*this, metrics);
  const ChunkCritics::Losses critic = critic_losses(batch, draws.next_candidate_noise, report);
  const QTarget q = batch.offline ? QTarget{} : q_target(batch, draws.interpolation_noise, draws.time);
  const RegressionLoss actor = actor_loss(batch, draws, q, step);
  check_finite({{"actor_loss", actor.loss, actor.gradient}});
  const Value none = zeros(1, 1);
  const Value displacement = q.x ? mean_all(square(Value(actor.q_u) - Value(q.anchor_velocity))) : none;
  report({{"anchor/x", q.x}, {"anchor/u", q.anchor_velocity}, {"anchor/action", q.anchor_action},
          {"anchor/q1", q.q1}, {"anchor/q2", q.q2},
          {"anchor/gradient", q.gradient}, {"anchor/spread", q.x ? Value(q.spread) : none},
          {"anchor/radius", q.x ? Value(q.radius) : none}, {"anchor/target", q.target}, {"anchor/policy_u", actor.q_u},
          {"anchor/displacement", displacement}});
  report({{"self/t", actor.self_time.t}, {"self/r", actor.self_time.r}, {"self/x", actor.self_x},
          {"self/velocity", actor.self_velocity}, {"self/u", actor.self_u}, {"self/derivative", actor.derivative},
          {"self/target", actor.self_target}, {"diagonal/x", actor.diagonal_x},
          {"diagonal/velocity", actor.diagonal_velocity}, {"diagonal/u", actor.diagonal_u}});
  report({{"actor/valid", actor.valid}, {"actor/q_loss", actor.q}, {"actor/self_loss", actor.self},
          {"actor/diagonal_loss", actor.diagonal}, {"actor/loss", actor.loss}, {"actor/gradient", actor.gradient}});
  report.record();

  critics_.critic.descend(critic.of, adam_, step, options_.target_rate);
  actor_.train_state.descend(actor.gradient, adam_, static_cast<int64_t>(step));
  policy_.outdate();
}

// ---- acting by a beam search ----------------------------------------------------------------------------------------
Tensor FlowMap::climb(Tensor state, Tensor action) const {
  const Tensor gradient = critics_.critic.smaller_and_gradient(state, action).gradient;
  return clip(Value(action) + settings_.beam_step * Value(unit(gradient)), -1, 1).detached;
}

namespace {

// The rows, in all, of each state's `count` largest q [B, n], the largest last: int32 [B count, 1].
// Waits for the device.
Tensor best_in_rising_order(Tensor q, int64_t count) {
  const Tensor here = fetched(q);
  int32_t* const order = arena_array<int32_t>(static_cast<size_t>(q.size()));
  int32_t* const best = arena_array<int32_t>(static_cast<size_t>(q.rows * count));
  std::iota(order, order + q.size(), 0);
  for (int64_t i = 0; i < q.rows; ++i) {
    int32_t* const end = order + (i + 1) * q.cols;
    std::sort(end - q.cols, end, [&](int32_t a, int32_t b) {
      const float of_a = here.f32()[a], of_b = here.f32()[b];
      return of_a < of_b || (of_a == of_b && a < b);
    });
    std::copy(end - count, end, best + i * count);
  }
  return placed(view(best, q.rows * count, 1));
}

}  // namespace

FlowMap::Beam FlowMap::beam_search(Tensor state, Tensor noise, Tensor again) {
  const int64_t states = state.rows, width = settings_.beam_width, branches = width * settings_.beam_branches;
  const int64_t round_numbers = branches * chunk_actions();
  const Value t = full(1, 1, 1 / (1 + settings_.beam_snr)), zero = zeros(1, 1);
  const Value r = settings_.beam_completion == "velocity" ? t : zero;
  Beam beam;
  Tensor action = beam.first = policy_.sample(state, noise);
  for (int64_t round = 0; round < settings_.beam_rounds; ++round) {
    Beam::Round& now = beam.rounds[round];
    const Value of_round =
        slice_columns(reshape(again, states, again.size() / states), round * round_numbers, round_numbers);
    const Value fresh = reshape(of_round, states * branches, chunk_actions());
    const Value x = (1 - t) * repeat_rows(action, settings_.beam_branches) + t * fresh;
    const Value u = actor_.network(actor_.train_state.tensor(), state, x, t, r);
    now.completed = clip(x - t * u, -1, 1).detached;
    now.q = reshape(critics_.critic.smaller_and_gradient(state, now.completed).q, states, branches).detached;
    now.kept = best_in_rising_order(now.q, width);
    action = now.moved = climb(state, gather_rows(now.completed, now.kept).detached);
  }
  if (settings_.beam_rounds == 0) action = beam.rounds[0].moved = climb(state, action);
  beam.q = reshape(critics_.critic.smaller_and_gradient(state, action).q, states, width).detached;
  beam.best = argmax_row(beam.q);
  beam.action = gather_rows(action, argmax_row(beam.q, width)).detached;
  return beam;
}

void FlowMap::act(std::span<const float> state, uint64_t step, std::span<float> chunk) {
  if (!beam_) return ChunkLearner::act(state, step, chunk);
  ArenaScope scope;
  const int64_t width = settings_.beam_width, again = settings_.beam_rounds * width * settings_.beam_branches;
  const Tensor here = placed(view(state.data(), 1, std::ssize(state)));
  fetch(beam_search(here, normals(Purpose::evaluate, step, width, chunk_actions()),
                    normals(Purpose::beam_noise, step, again, chunk_actions())).action,
        chunk.data());
}

void FlowMap::report_acting(Tensor state, const DrawSource& draws) {
  const int64_t first = state.rows * settings_.beam_width;
  const Tensor noise = draws("beam/noise", first, chunk_actions());
  if (!noise) return;
  const int64_t copies = settings_.beam_rounds * first * settings_.beam_branches;
  const Beam beam = beam_search(state, noise, copies ? draws("beam/again", copies, chunk_actions()) : Tensor());
  const Beam::Round &a = beam.rounds[0], &b = beam.rounds[1];
  Report(*this, {})({{"beam/first", beam.first},
                     {"beam/completed_0", a.completed}, {"beam/q_0", a.q}, {"beam/moved_0", a.moved},
                     {"beam/completed_1", b.completed}, {"beam/q_1", b.q}, {"beam/moved_1", b.moved},
                     {"beam/q", beam.q}, {"beam/best", beam.best}, {"beam/action", beam.action}});
}

void FlowMap::act_by_best_of(int64_t candidates) {
  ChunkLearner::act_by_best_of(candidates);
  beam_ = false;
}

// ---- settings -------------------------------------------------------------------------------------------------------
std::vector<Setting> FlowMapSettings::settings() {
  return settings_and({
      {"trust_radius", &trust_radius, "", "eta, length of the step along Q's gradient, over all numbers of a chunk", 0,
       1e6, {}},
      {"adaptive_radius", &adaptive_radius, "", "shorten the step where the critics disagree", 0, 1, {}},
      {"disagreement", &disagreement, "", "beta: the step is eta / (1 + beta disagreement / its mean)", 0, 1e6, {}},
      {"normalise_gradient", &normalise_gradient, "", "step along the unit gradient, else along the gradient", 0, 1,
       {}},
      {"gradient_at", &gradient_at, "", "at whose action Q's gradient is taken", 0, 0, {"anchor", "policy"}},
      {"growth_start", &growth_start, "updates", "offline ones before intervals begin to grow from nothing", 0, 1e12,
       {}},
      {"growth_length", &growth_length, "updates", "in which they grow to full length", 1, 1e12, {}},
      {"time_features", &time_features, "", "cosines and sines of each time, an even number; 0: the times themselves",
       0, 1024, {}},
      {"offline_value", &offline_value, "", "of two critics, offline", 0, 0, {"mean", "min"}},
      {"online_value", &online_value, "", "of two critics, once it acts", 0, 0, {"mean", "min"}},
      {"online_self_distillation", &online_self_distillation, "", "weight of the self-distillation's loss online", 0,
       1e6, {}},
      {"online_diagonal", &online_diagonal, "", "weight of the diagonal's loss online", 0, 1e6, {}},
      {"beam_rounds", &beam_rounds, "rounds", "of the beam search in evaluation; 0, and beam_step 0: best of N", 0,
       FlowMap::Beam::most_rounds, {}},
      {"beam_width", &beam_width, "chunks", "M, kept from round to round", 1, 1024, {}},
      {"beam_branches", &beam_branches, "copies", "of each in a round", 1, 1024, {}},
      {"beam_step", &beam_step, "", "along the gradient of the smaller Q after each round; .3 in the source", 0, 1e6,
       {}},
      {"beam_snr", &beam_snr, "", "signal to noise: copies are noised to t = 1 / (1 + snr)", 0, 1e6, {}},
      {"beam_completion", &beam_completion, "", "by which velocity they are completed: u(x, t, t) or u(x, t, 0)", 0, 0,
       {"velocity", "map"}},
  });
}

std::string FlowMapSettings::warning(const TrainingSettings& loop) const {
  if (loop.offline_steps > 0) return {};
  return "without offline steps the anchor is the untrained policy, which online training stays near: give it --data and "
         "--set offline_steps=N";
}

std::unique_ptr<Agent> FlowMapSettings::make_agent(int observations, int actions, uint64_t seed) const {
  check();
  if (time_features % 2 != 0) throw Error(message("time_features ", time_features, " must be even"));
  return std::make_unique<FlowMap>(observations, actions, *this, seed);
}

template std::unique_ptr<AlgorithmSettings> settings_of<FlowMapSettings>();

}  // namespace meander
