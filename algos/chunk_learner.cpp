#include <meander/algos/chunk_learner.h>

#include <cmath>

#include <meander/algos/training.h>
#include <meander/kernels/error.h>

namespace meander {

using kernels::Activation;
using kernels::Norm;

// ---- the critics ----------------------------------------------------------------------------------------------------
ChunkCritics::ChunkCritics(int observations, int actions, const ChunkOptions& options, TwinCritic::Chosen target,
                           uint64_t seed)
    : critic(observations, options.horizon * actions,
             {options.critic_width, options.critic_layers, Activation::gelu, Norm::after_activation},
             target, seed),
      discount_(options.discount) {
  std::vector<float> discounts;
  for (int64_t i = 0; i < options.steps(); ++i)
    discounts.push_back(static_cast<float>(std::pow(options.discount, double(i))));
  discounts_ = Buffer(discounts);
}

ChunkCritics::Target ChunkCritics::whole_target(const Batch& batch, Tensor next_action) const {
  const int64_t n = batch.reward.cols;
  const TwinCritic::Estimates next = critic.values(critic.target, batch.next_state, next_action);
  const Value rewards = sum_row(batch.reward * Value(discounts_.tensor()));
  const Value target = rewards + std::pow(discount_, double(n)) * (Value(batch.mask) * Value(next.chosen));
  return {rewards.detached, next, target.detached};
}

TwinCritic::Loss ChunkCritics::loss(int which, const Batch& batch, Tensor target) const {
  const Tensor whole = slice_columns(batch.valid, batch.valid.cols - 1, 1).detached;
  return critic.loss(which, batch.state, batch.action, target, whole);
}

PolicyDescription::Scores ChunkCritics::scores() const {
  return {.layout = &critic.layout, .network = &critic.trunk(),
          .params = {&critic.online[0].params, &critic.online[1].params}, .target = false, .atoms = {},
          .smaller = false};
}

// ---- a flow over chunks ---------------------------------------------------------------------------------------------
ChunkFlow::ChunkFlow(int observations, int actions, const ChunkOptions& options, Times times, const Stream& initialise,
                     int64_t time_features)
    : network(observations, options.horizon * actions,
              {options.actor_width, options.actor_layers, Activation::gelu, Norm::none}, options.horizon * actions,
              times, time_features),
      train_state(network.layout.size()) {
  network.layout.initialise(train_state.params, initialise);
}

// ---- the learner ----------------------------------------------------------------------------------------------------
ChunkLearner::ChunkLearner(int observations, int actions, const ChunkOptions& options, uint64_t seed,
                           TwinCritic::Chosen target)
    : Learner(observations, actions, seed), options_(options), adam_{options.learning_rate},
      critics_(observations, actions, options, target, seed) {}

FlowMatching ChunkLearner::flow_matching(const ChunkFlow& flow, const Batch& batch, Tensor noise, Tensor t) const {
  const Tensor x = interpolate(batch.action, noise, t), valid = valid_actions(batch);
  const Value velocity = Value(noise) - Value(batch.action);
  const auto [out, gradient] = value_and_grad(
      [&](Value params) {
        const Value v = flow.network(params, batch.state, x, t, Value());
        return Values<2>{mean_all(square(v - velocity) * Value(valid)), v};
      },
      flow.train_state.tensor());
  return {out[0].detached, x, velocity.detached, out[1].detached, valid, gradient.detached};
}

PolicyDescription ChunkLearner::best_of_candidates(const ChunkFlow& flow, int64_t steps, bool euler) const {
  return {.observations = observations_, .actions = actions_, .chunk = options_.horizon,
          .actor = PolicyDescription::Flow{&flow.network, steps, euler}, .params = &flow.train_state.params,
          .scores = critics_.scores(),
          .explore_candidates = options_.candidates, .act_candidates = options_.candidates};
}

Tensor ChunkLearner::valid_actions(const Batch& batch) const {
  const Value column = reshape(slice_columns(batch.valid, 0, chunk()), batch.state.rows * chunk(), 1);
  return reshape(broadcast_to(column, column.rows(), actions_), batch.state.rows, chunk_actions()).detached;
}

ChunkCritics::Losses ChunkLearner::critic_losses(const Batch& batch, Tensor noise, Report& report) {
  const Choice choice = best_candidate(batch.next_state, noise);
  const ChunkCritics::Target target = critics_.whole_target(batch, choice.chosen);
  const ChunkCritics::Losses loss{critics_.loss(0, batch, target.value), critics_.loss(1, batch, target.value)};
  report.critic_losses(loss.of);
  report({{"next/candidates", choice.action}, {"next/candidate_q", choice.q},
          {"next/q1", choice.q1}, {"next/q2", choice.q2}, {"next/best", choice.best},
          {"next/action", choice.chosen}, {"target/q1", target.next.q[0]}, {"target/q2", target.next.q[1]},
          {"target/rewards", target.rewards}, {"target/return", target.value}});
  return loss;
}

namespace {
Tensor placed_row(std::span<const float> x) { return placed(view(x.data(), 1, std::ssize(x))); }
}  // namespace

double ChunkLearner::chunk_value(std::span<const float> state, std::span<const float> chunk) {
  ArenaScope scope;
  const TwinCritic& critic = critics_.critic;
  return Number(critic.values(critic.online, placed_row(state), placed_row(chunk)).chosen);
}

double ChunkLearner::state_value(std::span<const float> state, uint64_t step) {
  ArenaScope scope;
  const Tensor here = placed_row(state);
  const Choice choice =
      best_candidate(here, normals(Purpose::evaluate, step, options_.candidates, chunk_actions()));
  return Number(critics_.critic.values(critics_.critic.target, here, choice.chosen).chosen);
}

// ---- settings -------------------------------------------------------------------------------------------------------
std::vector<Setting> ChunkSettings::settings() {
  const double tiny = 1e-12;
  ChunkOptions& c = chunk;
  return {
      {"batch_size", &c.batch_size, "rows", "chunks in one update", 1, 65536, {}},
      {"discount", &c.discount, "", "gamma, the weight of the next step's value", 0, 1, {}},
      {"target_rate", &c.target_rate, "", "tau: target = (1 - tau) target + tau critic after each update", 0, 1, {}},
      {"learning_rate", &c.learning_rate, "", "Adam's step size, the same for every network", tiny, 1, {}},
      {"horizon", &c.horizon, "steps", "h, actions of a chunk, executed open loop", 1, 64, {}},
      {"return_steps", &c.return_steps, "steps", "rewards summed before the next state is valued; 0: as the horizon", 0,
       64, {}},
      {"candidates", &c.candidates, "a state", "N, of which the best by the critics is taken", 1, 4096, {}},
      {"actor_width", &c.actor_width, "units", "of each hidden layer of the actor", 1, 4096, {}},
      {"actor_layers", &c.actor_layers, "layers", "hidden (Dense, GELU), of the actor", 1, 7, {}},
      {"critic_width", &c.critic_width, "units", "of each hidden layer of the critics", 1, 4096, {}},
      {"critic_layers", &c.critic_layers, "layers", "hidden (Dense, GELU, LayerNorm), of the critics", 1, 7, {}},
  };
}

std::vector<Setting> ChunkSettings::settings_and(std::initializer_list<Setting> own) {
  std::vector<Setting> all = ChunkSettings::settings();
  all.insert(all.end(), own);
  return all;
}

void ChunkSettings::check() const {
  if (chunk.return_steps > 0 && chunk.return_steps < chunk.horizon)
    throw Error(message("return_steps ", chunk.return_steps, " must be 0 or at least the horizon ", chunk.horizon));
}

void ChunkSettings::adapt_loop(TrainingSettings& loop) const {
  loop.start_steps = 5'001;
  loop.replay_capacity = 2'000'000;
}

}  // namespace meander
