// An algorithm of your own: its settings, an agent, and one line that makes its name known. With Meander::command
// linked and `return meander::command(argc, argv)` at the end of main, `--algo shooting` then has every verb; here it
// is trained by the library's loop on a task of ten steps.
//
//   ninja -C build/release example_own_algorithm && build/release/examples/example_own_algorithm
//
// Q-learning with random shooting: the next action is the best of K uniform candidates by the smaller of two
// critics, and
//   Q(s, a)  ->  r + gamma max_k min_i Q_i'(s', a_k)
// with targets Q' that follow slowly; a policy mu(s) regresses on the best candidate. QT-Opt (Kalashnikov et al., arXiv
// 1806.10293) refines the candidates further and acts by them.
#include <meander/algos/learner.h>
#include <meander/algos/training.h>
#include <meander/nn/twin_critic.h>

#include <cmath>
#include <cstdio>

namespace {

using namespace meander;

struct ShootingSettings final : AlgorithmSettings {
  int64_t batch_size = 64, width = 32, candidates = 16;
  double discount = 0.9, target_rate = 0.02, learning_rate = 1e-3, noise = 0.3;

  std::string name() const override { return "shooting"; }
  std::string title() const override { return "Q-learning with random shooting"; }
  std::vector<Setting> settings() override {  // what --set, TOML and `config` see
    return {{"batch_size", &batch_size, "rows", "transitions in one update", 1, 65536, {}},
            {"width", &width, "units", "of the two hidden layers of policy and critics", 1, 4096, {}},
            {"candidates", &candidates, "a state", "K, actions the best is taken of", 1, 4096, {}},
            {"discount", &discount, "", "gamma, the weight of the next step's value", 0, 1, {}},
            {"target_rate", &target_rate, "", "of the targets towards the critics", 0, 1, {}},
            {"learning_rate", &learning_rate, "", "Adam's step size", 1e-12, 1, {}},
            {"noise", &noise, "", "deviation of the noise on actions that explore", 1e-6, 10, {}}};
  }
  std::unique_ptr<Agent> make_agent(int observations, int actions, uint64_t seed) const override;
};

// Learner brings dimensions, checkpoints of what `networks_` names, acting as `acts_by` says, metrics by the names of
// what an update reports, and random numbers that (seed, purpose, step) decide.
class Shooting final : public Learner {
 public:
  Shooting(int observations, int actions, const ShootingSettings& settings, uint64_t seed)
      : Learner(observations, actions, seed), settings_(settings), adam_{.learning_rate = settings.learning_rate},
        trunk_(add_mlp(layout_, observations, hidden(settings), 2 * actions)), actor_(layout_.size()),
        critic_(observations, actions, hidden(settings), TwinCritic::Chosen::smaller, seed),
        // Acts by tanh(mu), exploring by tanh(mu + noise): the deviation's own half of the outputs is clipped away.
        policy_(acts_by({.observations = observations, .actions = actions,
                         .actor = PolicyDescription::Gaussian{&layout_, &trunk_, std::log(settings.noise),
                                                              std::log(settings.noise)},
                         .params = &actor_.params, .bound = PolicyDescription::Bound::tanh})) {
    layout_.initialise(actor_.params, Stream(seed, Purpose::initialise_actor, 0));
    networks_ = networks_of({{"actor/", &layout_, &actor_, true}}, critic_);
    log_metrics(metrics);
  }

  int batch_size() const override { return static_cast<int>(settings_.batch_size); }

  void update(const Batch& batch, uint64_t step, std::span<float> row) override {
    ArenaScope scope;
    Report report(*this, row);
    const Tensor next = best_candidate(critic_.target, batch.next_state, Purpose::next_action, step);
    const Tensor q = critic_.values(critic_.target, batch.next_state, next).chosen;
    const Tensor target = (Value(batch.reward) + settings_.discount * (Value(batch.mask) * Value(q))).detached;
    TwinCritic::Loss loss[2];
    for (const int i : {0, 1}) loss[i] = critic_.loss(i, batch.state, batch.action, target);
    report.critic_losses(loss);

    const Tensor best = best_candidate(critic_.online, batch.state, Purpose::candidate_noise, step);
    const auto [out, gradient] = value_and_grad(
        [&](Value params) {
          const Value mu = tanh(slice_columns(mlp(trunk_, params, batch.state), 0, actions_));
          return Values<1>{mean_squared_error(mu, best)};
        },
        actor_.tensor());
    check_finite({{"actor_loss", out[0].detached, gradient.detached}});
    report({{"actor/loss", out[0]}});
    report.record();

    critic_.descend(loss, adam_, step, settings_.target_rate);
    actor_.descend(gradient.detached, adam_, static_cast<int64_t>(step));
    policy_.outdate();
  }

 private:
  static constexpr Metric metrics[] = {
      {"critic_loss1", "critic1/loss"}, {"critic_loss2", "critic2/loss"}, {"actor_loss", "actor/loss"}};

  static Hidden hidden(const ShootingSettings& s) {
    return {s.width, 2, kernels::Activation::silu, kernels::Norm::none};
  }
  // Of K uniform actions in [-1, 1] a state, [B K, A], the best by these critics, [B, A].
  Tensor best_candidate(const TrainState (&critics)[2], Tensor state, Purpose purpose, uint64_t step) const {
    const Tensor actions = affine(uniforms(purpose, step, state.rows * settings_.candidates, actions_), 2, -1).detached;
    const Tensor q = critic_.values(critics, state, actions).chosen;   // [B, K]
    return gather_rows(actions, argmax_row(q, q.cols)).detached;
  }

  ShootingSettings settings_;
  kernels::AdamConstants adam_;
  ParameterLayout layout_;
  kernels::MlpShape trunk_;
  TrainState actor_;
  TwinCritic critic_;
  Policy& policy_;
};

std::unique_ptr<Agent> ShootingSettings::make_agent(int observations, int actions, uint64_t seed) const {
  return std::make_unique<Shooting>(observations, actions, *this, seed);
}

// One number to be driven to zero in ten steps.
class Point final : public Environment {
 public:
  Point() {
    info_.name = "Point";
    info_.observations = info_.actions = 1;
    info_.action_low = {-1};
    info_.action_high = {1};
    info_.time_limit = 10;
  }
  const EnvironmentInfo& info() const override { return info_; }
  void reset(Stream& random) override { x_ = random.uniform(-1, 1), steps_ = 0; }
  Step step(std::span<const double> action) override {
    x_ += 0.5 * action[0];
    return {-x_ * x_, false, ++steps_ >= 10};
  }
  std::span<const double> observation() const override { return {&x_, 1}; }
  std::vector<double> save() const override { return {x_, static_cast<double>(steps_)}; }
  void load(std::span<const double> state) override { x_ = state[0], steps_ = static_cast<int>(state[1]); }

 private:
  EnvironmentInfo info_;
  double x_ = 0;
  int steps_ = 0;
};

}  // namespace

int main() {
  register_algorithm("shooting", [] { return std::make_unique<ShootingSettings>(); });

  Point point, evaluation_point;
  const auto agent = make_agent("shooting", point.info(), {{"candidates", "32"}}, 0);
  const double before = evaluate(*agent, {&evaluation_point}, 20, 0, 0)->mean();
  TrainingSettings loop;
  loop.steps = 2000;
  loop.start_steps = 200;
  loop.replay_capacity = 2000;
  Observer nobody;
  Training training(loop, *agent, {&point}, {&evaluation_point});
  training.run(nobody);
  const double after = evaluate(*agent, {&evaluation_point}, 20, 0, 1)->mean();
  std::printf("mean return: %.3f untrained, %.3f after %lld steps\n", before, after,
              static_cast<long long>(training.step()));
  return after > before && after > -1 ? 0 : 1;
}
