#include <meander/algos/fql.h>

#include <meander/algos/algorithm.h>

namespace meander {

// What is logged, of the quantities that the update reports below.
static constexpr Metric metrics_of_fql[] = {
    {"critic_loss1", "critic1/loss"},
    {"critic_loss2", "critic2/loss"},
    {"actor_loss", "actor/loss"},
    {"behaviour_loss", "behaviour/loss"},
    {"distillation_loss", "actor/distillation_loss"},
    {"q_loss", "actor/q_loss"},
    {"q_mean", "actor/q", mean},
    {"q_scale", "actor/q_scale"},
};

Fql::Fql(int observations, int actions, const FqlSettings& settings, uint64_t seed)
    : ChunkLearner(observations, actions, settings.chunk, seed,
                   settings.target_value == "min" ? TwinCritic::Chosen::smaller : TwinCritic::Chosen::mean),
      settings_(settings),
      behaviour_(observations, actions, settings.chunk, Times::plain_t, Stream(seed, Purpose::initialise_behaviour, 0)),
      actor_trunk_(add_mlp(actor_layout_, chunk_actions() + observations,
                           {options_.actor_width, options_.actor_layers, kernels::Activation::gelu,
                            kernels::Norm::none}, chunk_actions())),
      actor_(actor_layout_.size()),
      policy_(acts_by({.observations = observations, .actions = actions, .chunk = options_.horizon,
                       .actor = PolicyDescription::OneStep{&actor_layout_, &actor_trunk_, &behaviour_.network,
                                                           &behaviour_.train_state.params},
                       .params = &actor_.params,
                       .scores = critics_.scores(), .explore_candidates = options_.candidates,
                       .act_candidates = options_.candidates})),
      flow_(behaviour_.network, behaviour_.train_state.params, settings.sampling_steps, true) {
  actor_layout_.initialise(actor_.params, Stream(seed, Purpose::initialise_actor, 0));
  networks_ = networks_of({{"actor/", &actor_layout_, &actor_, true},
                           {"behaviour/", &behaviour_.network.layout, &behaviour_.train_state, true}},
                          critics_.critic);
  log_metrics(metrics_of_fql);
}

void Fql::parameters_changed() {
  Learner::parameters_changed();
  flow_.outdate();
}

// The distillation pulls mu wherever it is; the Q term sees what would be executed, and so nothing beyond the box.
Fql::PolicyLoss Fql::actor_loss(Tensor state, Tensor noise) {
  const Value flow_action = clip(flow_(state, noise), -1, 1);
  const TwinCritic& critic = critics_.critic;
  const auto [out, gradient] = value_and_grad(
      [&](Value params) {
        const Value one_step = mlp(actor_trunk_, params, concat_columns(noise, state)), action = clip(one_step, -1, 1);
        const Value distillation = mean_all(square(one_step - flow_action));
        const Value q1 = critic.value(critic.online[0].tensor(), state, action);
        const Value q2 = critic.value(critic.online[1].tensor(), state, action), q = 0.5 * (q1 + q2);
        Value scale = full(1, 1, 1, state.dtype);
        if (settings_.normalise_q) scale = scale / mean_all(maximum(q.detached, -Value(q.detached)));
        const Value q_loss = -scale * mean_column(q);
        return Values<9>{settings_.distillation * distillation + q_loss, distillation, q_loss, scale, one_step, action,
                         q1, q2, q};
      },
      actor_.tensor());
  return {out[0].detached, out[1].detached, out[2].detached, out[3].detached, out[4].detached, out[5].detached,
          flow_action.detached, out[6].detached, out[7].detached, out[8].detached, gradient.detached};
}

// ---- one update -----------------------------------------------------------------------------------------------------
void Fql::update(const Batch& batch, uint64_t step, std::span<float> metrics) {
  ArenaScope scope;
  const int64_t rows = batch.state.rows;
  DrawTogether draw(*this, step);
  const int64_t candidates = rows * options_.candidates;
  const Draws draws{draw.normals("next_candidate_noise", Purpose::next_action, candidates, chunk_actions()),
                    draw.normals("interpolation_noise", Purpose::interpolation_noise, rows, chunk_actions()),
                    draw.uniforms("time", Purpose::interval_a, rows, 1),
                    draw.normals("policy_noise", Purpose::policy_noise, rows, chunk_actions())};
  draw.now();
  update(batch, draws, step, metrics);
}

// All networks step together, from the parameters before the update; then the targets follow.
void Fql::update(const Batch& batch, const Draws& draws, uint64_t step, std::span<float> metrics) {
  Report report(*this, metrics);
  const ChunkCritics::Losses critic = critic_losses(batch, draws.next_candidate_noise, report);
  const FlowMatching behaviour = behaviour_loss(batch, draws.interpolation_noise, draws.time);
  const PolicyLoss actor = actor_loss(batch.state, draws.policy_noise);
  check_finite({{"behaviour_loss", behaviour.loss, behaviour.gradient}, {"actor_loss", actor.loss, actor.gradient}});
  report({{"behaviour/valid", behaviour.valid}, {"behaviour/x", behaviour.x},
          {"behaviour/velocity", behaviour.velocity}, {"behaviour/v", behaviour.predicted},
          {"behaviour/loss", behaviour.loss}, {"behaviour/gradient", behaviour.gradient}});
  report({{"actor/one_step", actor.one_step}, {"actor/action", actor.action}, {"actor/flow_action", actor.flow_action},
          {"actor/q1", actor.q1}, {"actor/q2", actor.q2}, {"actor/q", actor.q}, {"actor/q_scale", actor.q_scale},
          {"actor/distillation_loss", actor.distillation}, {"actor/q_loss", actor.q_loss}, {"actor/loss", actor.loss},
          {"actor/gradient", actor.gradient}});
  report.record();

  critics_.critic.descend(critic.of, adam_, step, options_.target_rate);
  descend({{behaviour_.train_state, behaviour.gradient}, {actor_, actor.gradient}}, adam_, static_cast<int64_t>(step));
  policy_.outdate(), flow_.outdate();
}

// ---- settings -------------------------------------------------------------------------------------------------------
std::vector<Setting> FqlSettings::settings() {
  return settings_and({
      {"distillation", &distillation, "", "alpha, weight of the policy's squared distance from the flow beside Q", 0,
       1e9, {}},
      {"sampling_steps", &sampling_steps, "passes", "T, Euler steps of the flow that is distilled", 1, 1000, {}},
      {"normalise_q", &normalise_q, "", "divide the policy's Q by its mean size over the batch", 0, 1, {}},
      {"target_value", &target_value, "", "of the two target critics, what the critics learn from", 0, 0,
       {"mean", "min"}},
  });
}

std::unique_ptr<Agent> FqlSettings::make_agent(int observations, int actions, uint64_t seed) const {
  check();
  return std::make_unique<Fql>(observations, actions, *this, seed);
}

template std::unique_ptr<AlgorithmSettings> settings_of<FqlSettings>();

}  // namespace meander
