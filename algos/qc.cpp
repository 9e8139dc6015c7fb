#include <meander/algos/qc.h>

#include <meander/algos/algorithm.h>
#include <meander/algos/mean_flow.h>

namespace meander {

// What is logged, of the quantities that the update reports below.
static constexpr Metric metrics_of_qc[] = {
    {"critic_loss1", "critic1/loss"},
    {"critic_loss2", "critic2/loss"},
    {"actor_loss", "actor/loss"},
};

Qc::Qc(int observations, int actions, const QcSettings& settings, uint64_t seed)
    : ChunkLearner(observations, actions, settings.chunk, seed),
      actor_(observations, actions, settings.chunk, Times::plain_t, Stream(seed, Purpose::initialise_actor, 0)),
      policy_(acts_by(best_of_candidates(actor_, settings.sampling_steps, true))) {
  networks_ = networks_of({{"actor/", &actor_.network.layout, &actor_.train_state, true}}, critics_.critic);
  log_metrics(metrics_of_qc);
}

void Qc::update(const Batch& batch, uint64_t step, std::span<float> metrics) {
  ArenaScope scope;
  const int64_t rows = batch.state.rows;
  DrawTogether draw(*this, step);
  const int64_t candidates = rows * options_.candidates;
  const Draws draws{draw.normals("next_candidate_noise", Purpose::next_action, candidates, chunk_actions()),
                    draw.normals("interpolation_noise", Purpose::interpolation_noise, rows, chunk_actions()),
                    draw.uniforms("time", Purpose::interval_a, rows, 1)};
  draw.now();
  update(batch, draws, step, metrics);
}

// Actor and critics step together, from the parameters before the update; then the targets follow.
void Qc::update(const Batch& batch, const Draws& draws, uint64_t step, std::span<float> metrics) {
  Report report(*this, metrics);
  const ChunkCritics::Losses critic = critic_losses(batch, draws.next_candidate_noise, report);
  const FlowMatching actor = actor_loss(batch, draws.interpolation_noise, draws.time);
  check_finite({{"actor_loss", actor.loss, actor.gradient}});
  report({{"actor/valid", actor.valid}, {"actor/x", actor.x}, {"actor/velocity", actor.velocity},
          {"actor/u", actor.predicted}, {"actor/loss", actor.loss}, {"actor/gradient", actor.gradient}});
  report.record();

  critics_.critic.descend(critic.of, adam_, step, options_.target_rate);
  actor_.train_state.descend(actor.gradient, adam_, static_cast<int64_t>(step));
  policy_.outdate();
}

std::vector<Setting> QcSettings::settings() {
  return settings_and(
      {{"sampling_steps", &sampling_steps, "passes", "T, Euler steps from noise to a chunk", 1, 1000, {}}});
}

std::unique_ptr<Agent> QcSettings::make_agent(int observations, int actions, uint64_t seed) const {
  check();
  return std::make_unique<Qc>(observations, actions, *this, seed);
}

template std::unique_ptr<AlgorithmSettings> settings_of<QcSettings>();

}  // namespace meander
