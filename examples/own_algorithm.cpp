// An algorithm of your own: its settings, an agent, and one line that makes its name known. With Meander::command linked
// and `return meander::command(argc, argv)` at the end of main, `--algo shooting` then has every verb; here it is trained
// by the library's loop on a task of ten steps.
//
//   ninja -C build/release example_own_algorithm && build/release/examples/example_own_algorithm
//
// Q-learning with random shooting: an action is the best of K uniform candidates by the smaller of two critics, and
//   Q(s, a)  ->  r + gamma max_k min_i Q_i'(s', a_k)
// with targets Q' that follow slowly. QT-Opt (Kalashnikov et al., arXiv 1806.10293) refines the candidates further.
#include <meander/algos/learner.h>
#include <meander/algos/training.h>
#include <meander/nn/twin_critic.h>

#include <cstdio>

namespace {

using namespace meander;

struct ShootingSettings final : AlgorithmSettings {
  int64_t batch_size = 64, width = 32, candidates = 16;
  double discount = 0.9, target_rate = 0.02, learning_rate = 1e-3, noise = 0.1;

  std::string name() const override { return "shooting"; }
  std::string title() const override { return "Q-learning with random shooting"; }
  std::vector<Setting> settings() override {  // what --set, TOML and `config` see
    return {{"batch_size", &batch_size, "rows", "transitions in one update", 1, 65536, {}},
            {"width", &width, "units", "of the two hidden layers of each critic", 1, 4096, {}},
            {"candidates", &candidates, "a state", "K, actions the best is taken of", 1, 4096, {}},
            {"discount", &discount, "", "gamma, the weight of the next step's value", 0, 1, {}},
            {"target_rate", &target_rate, "", "of the targets towards the critics", 0, 1, {}},
            {"learning_rate", &learning_rate, "", "Adam's step size", 1e-12, 1, {}},
            {"noise", &noise, "", "deviation of the noise on actions that explore", 0, 10, {}}};
  }
  std::unique_ptr<Agent> make_agent(int observations, int actions, uint64_t seed) const override;
};

// Learner brings dimensions, checkpoints of what `networks_` names, and random numbers that (seed, purpose, step) decide.
class Shooting final : public Learner {
 public:
  Shooting(int observations, int actions, const ShootingSettings& settings, uint64_t seed)
      : Learner(observations, actions, seed), settings_(settings), adam_{.learning_rate = settings.learning_rate},
        critic_(observations, actions, {settings.width, 2, kernels::Activation::relu, kernels::Norm::none}, seed) {
    networks_ = {{"critic1/", &critic_.layout, &critic_.online[0], true},
                 {"critic2/", &critic_.layout, &critic_.online[1], true},
                 {"target1/", &critic_.layout, &critic_.target[0], false},
                 {"target2/", &critic_.layout, &critic_.target[1], false}};
  }

  int batch_size() const override { return static_cast<int>(settings_.batch_size); }
  std::span<const char* const> metric_names() const override {
    static constexpr const char* names[] = {"critic_loss1", "critic_loss2"};
    return names;
  }

  void act(std::span<const float> state, uint64_t step, std::span<float> action) override {
    ArenaScope scope;
    fetch(best_action(state, Purpose::evaluate, step).tensor, action.data());
  }
  void explore(std::span<const float> state, uint64_t step, std::span<float> action) override {
    ArenaScope scope;
    const Value noise = settings_.noise * Value(normals(Purpose::exploration_noise, step, 1, actions_));
    fetch(clip(best_action(state, Purpose::explore, step) + noise, -1, 1).tensor, action.data());
  }

  void update(const Batch& batch, uint64_t step, std::span<float> metrics) override {
    ArenaScope scope;
    const int64_t rows = batch.state.rows;
    const auto next = critic_.target_values(batch.next_state, candidates(Purpose::next_action, step, rows));
    const Tensor smaller = minimum(next[0], next[1]).tensor;  // [B, K]
    const Value best = gather_row(smaller, argmax_row(smaller));
    const Tensor target = (Value(batch.reward) + settings_.discount * (Value(batch.mask) * best)).tensor;
    TwinCritic::Loss loss[2];
    for (const int i : {0, 1}) loss[i] = critic_.loss(i, batch.state, batch.action, target);
    check_finite({{"critic_loss1", loss[0].loss, loss[0].gradient}, {"critic_loss2", loss[1].loss, loss[1].gradient}});
    record(metrics, {{0, loss[0].loss}, {1, loss[1].loss}});
    critic_.descend(loss, adam_, step, settings_.target_rate);
  }

 private:
  void parameters_changed() override { critic_.outdate(); }

  // K uniform actions in [-1, 1] for each of so many states, [states K, A].
  Tensor candidates(Purpose purpose, uint64_t step, int64_t states) const {
    return affine(uniforms(purpose, step, states * settings_.candidates, actions_), 2, -1).tensor;
  }
  Value best_action(std::span<const float> state, Purpose purpose, uint64_t step) {
    const Tensor actions = candidates(purpose, step, 1);
    const auto q = critic_.online_values(state_row(state), actions);
    return gather_rows(actions, argmax_row(minimum(q[0], q[1]).tensor));
  }

  ShootingSettings settings_;
  kernels::AdamConstants adam_;
  TwinCritic critic_;
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
