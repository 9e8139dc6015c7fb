#include <meander/algos/qc.h>

#include <meander/algos/algorithm.h>
#include <meander/algos/mean_flow.h>

namespace meander {

Qc::Qc(int observations, int actions, const QcSettings& settings, uint64_t seed)
    : ChunkLearner(observations, actions, settings.chunk, seed),
      actor_(observations, actions, settings.chunk, Times::plain_t, Stream(seed, Purpose::initialise_actor, 0)),
      policy_(acts_by(best_of_candidates(actor_, settings.sampling_steps, true))) {
  networks_ = critics_.networks();
  networks_.insert(networks_.begin(), {"actor/", &actor_.network.layout, &actor_.trained, true});
}

Qc::RegressionLoss Qc::actor_loss(const Batch& batch, Tensor noise, Tensor t) const {
  const Tensor x = interpolate(batch.action, noise, t), valid = valid_actions(batch);
  const Value velocity = Value(noise) - Value(batch.action);
  const auto [out, gradient] = value_and_grad(
      [&](Value params) {
        const Value v = actor_.network(params, batch.state, x, t, Value());
        return Values<1>{mean_all(square(v - velocity) * Value(valid))};
      },
      actor_.trained.tensor());
  return {out[0].tensor, gradient.tensor};
}

namespace {

enum Metric { critic_loss1, critic_loss2, actor_loss_, metrics_count };
constexpr const char* metrics_of_qc[] = {"critic_loss1", "critic_loss2", "actor_loss"};
static_assert(std::size(metrics_of_qc) == metrics_count);

}  // namespace

std::span<const char* const> Qc::metric_names() const { return metrics_of_qc; }

// Actor and critics step together, from the parameters before the update; then the targets follow.
void Qc::update(const Batch& batch, uint64_t step, std::span<float> metrics) {
  ArenaScope scope;
  const Tensor noise = candidate_noise(Purpose::next_action, step, batch.state.rows);
  const auto critic = critics_.losses(batch, best_candidate(batch.next_state, noise).chosen, metrics);
  const RegressionLoss actor = actor_loss(batch, normals(Purpose::interpolation_noise, step, batch.state.rows,
                                                         chunk_actions()),
                                          uniforms(Purpose::interval_a, step, batch.state.rows, 1));
  check_finite({{"actor_loss", actor.loss, actor.gradient}});
  record(metrics, {{actor_loss_, actor.loss}});

  critics_.critic.descend(critic.of, adam_, step, options_.target_rate);
  actor_.trained.descend(actor.gradient, adam_, static_cast<int64_t>(step));
  policy_.outdate();
}

std::vector<Setting> QcSettings::settings() {
  std::vector<Setting> all = ChunkSettings::settings();
  all.push_back({"sampling_steps", &sampling_steps, "passes", "T, Euler steps from noise to a chunk", 1, 1000, {}});
  return all;
}

std::unique_ptr<Agent> QcSettings::make_agent(int observations, int actions, uint64_t seed) const {
  check();
  return std::make_unique<Qc>(observations, actions, *this, seed);
}

template std::unique_ptr<AlgorithmSettings> settings_of<QcSettings>();

}  // namespace meander
