#include <meander/algos/sac.h>

#include <cmath>
#include <numbers>

#include <meander/algos/algorithm.h>
#include <meander/algos/training.h>

namespace meander {

namespace {

// What is logged, of the quantities that the update reports below.
constexpr Metric metrics_of_sac[] = {
    {"critic_loss1", "critic1/loss"},
    {"critic_loss2", "critic2/loss"},
    {"actor_loss", "actor/loss"},
    {"temperature_loss", "temperature/loss"},
    {"q_mean", "actor/q", mean},
    {"entropy", "temperature/entropy"},
    {"alpha", "temperature/alpha"},
};

constexpr double log_sigma_low = -20, log_sigma_high = 2;

Hidden hidden(const SacSettings& s) {
  return {s.width, s.layers, kernels::Activation::relu, kernels::Norm::none, Initial::fan_in_uniform};
}

}  // namespace

Sac::Sac(int observations, int actions, const SacSettings& settings, uint64_t seed)
    : Learner(observations, actions, seed),
      settings_(settings),
      adam_{.learning_rate = settings.learning_rate, .epsilon = settings.adam_epsilon},
      actor_(0),
      log_alpha_(1),
      critic_(observations, actions, hidden(settings), TwinCritic::Chosen::smaller, seed),
      policy_(acts_by({.observations = observations, .actions = actions,
                       .actor = PolicyDescription::Gaussian{&actor_layout_, &actor_trunk_, log_sigma_low,
                                                            log_sigma_high},
                       .params = &actor_.params, .bound = PolicyDescription::Bound::tanh})) {
  actor_trunk_ = add_mlp(actor_layout_, observations, hidden(settings), 2 * actions);
  actor_ = TrainState(actor_layout_.size());
  actor_layout_.initialise(actor_.params, Stream(seed, Purpose::initialise_actor, 0));
  temperature_.add("log_alpha", {1}, Initial::zero);
  const float log_alpha = static_cast<float>(std::log(settings.alpha));
  log_alpha_.params.set(&log_alpha);
  networks_ = networks_of({{"actor/", &actor_layout_, &actor_, true}}, critic_,
                          {{"temperature/", &temperature_, &log_alpha_, true}});
  log_metrics(metrics_of_sac);
}

Value Sac::alpha() const { return exp(log_alpha_.tensor()); }

Sac::Sample Sac::sample(Value params, Value state, Value noise) const {
  const Value out = mlp(actor_trunk_, params, state);
  const Value mean = slice_columns(out, 0, actions_);
  const Value log_sigma = clip(slice_columns(out, actions_, actions_), log_sigma_low, log_sigma_high);
  const Value action = tanh(mean + exp(log_sigma) * noise);
  // log N(x; mean, sigma^2) with x = mean + sigma noise
  const Value log_normal = -0.5 * square(noise) - log_sigma - 0.5 * std::log(2 * std::numbers::pi);
  return {action, sum_row(log_normal - log(1 - square(action) + 1e-6))};
}

// ---- one update -----------------------------------------------------------------------------------------------------
void Sac::update(const Batch& batch, uint64_t step, std::span<float> metrics) {
  ArenaScope scope;
  DrawTogether draw(*this, step);
  const Draws draws{draw.normals("next_noise", Purpose::next_action, batch.state.rows, actions_),
                    draw.normals("policy_noise", Purpose::policy_noise, batch.state.rows, actions_)};
  draw.now();
  update(batch, draws, step, metrics);
}

void Sac::update(const Batch& batch, const Draws& draws, uint64_t step, std::span<float> metrics) {
  update_critics(batch, draws.next_noise, step, metrics);
  const ActionValue smaller = [this](Value state, Value action) {
    return critic_.choose(critic_.value(critic_.online[0].tensor(), state, action),
                          critic_.value(critic_.online[1].tensor(), state, action));
  };
  update_policy(batch.state, smaller, draws.policy_noise, step, metrics);
}

void Sac::report_acting(Tensor state, const DrawSource& draws) {
  const Tensor noise = draws("explore/noise", state.rows, actions_);
  if (!noise) return;
  const Sample explored = sample(state, noise);
  Report(*this, {})({{"explore/action", explored.action}, {"explore/log_prob", explored.log_prob}});
}

void Sac::improve_policy(const ActionValue& q, Tensor state, uint64_t step) {
  ArenaScope scope;
  update_policy(state, q, normals(Purpose::policy_noise, step, state.rows, actions_), step, {});
}

// Q towards r + gamma mask (min Q'(s', a') - alpha log pi(a'|s')), a' ~ pi(s'): half the sum of the mean squared errors.
void Sac::update_critics(const Batch& batch, Tensor noise, uint64_t step, std::span<float> metrics) {
  ArenaScope scope;
  Report report(*this, metrics);
  const Sample next = sample(actor_.tensor(), batch.next_state, noise);
  const auto q = critic_.values(critic_.target, batch.next_state, next.action.detached);
  const Value soft = Value(q.chosen) - alpha() * next.log_prob;
  const Tensor target = (Value(batch.reward) + settings_.discount * (Value(batch.mask) * soft)).detached;
  TwinCritic::Loss loss[2];
  for (int i : {0, 1}) loss[i] = critic_.loss(i, batch.state, batch.action, target, {}, 0.5);
  report.critic_losses(loss);
  report({{"next/action", next.action}, {"next/log_prob", next.log_prob}, {"target/q1", q.q[0]}, {"target/q2", q.q[1]},
          {"target/q", q.chosen}, {"target/return", target}});
  report.record();
  critic_.descend(loss, adam_, step, settings_.target_rate);
}

// Actor: mean of alpha log pi(a|s) - Q(s, a), a = tanh(mean + sigma noise). Temperature, by the alpha of before:
// - log alpha (log pi + target entropy).
void Sac::update_policy(Tensor state, const ActionValue& q, Tensor noise, uint64_t step, std::span<float> metrics) {
  ArenaScope scope;
  Report report(*this, metrics);
  const Value alpha = this->alpha();
  const auto [out, gradient] = value_and_grad(
      [&](Value params) {
        const Sample policy = sample(params, state, noise);
        const Value value = q(state, policy.action);
        return Values<4>{mean_column(alpha * policy.log_prob - value), policy.log_prob, value, policy.action};
      },
      actor_.tensor());
  check_finite({{"actor_loss", out[0].detached, gradient.detached}});

  const Value log_prob = mean_all(out[1]), gap = log_prob + settings_.target_entropy_per_action * actions_;
  const auto [temperature, temperature_gradient] =
      value_and_grad([&](Value log_alpha) { return Values<1>{log_alpha * -gap}; }, log_alpha_.tensor());
  check_finite({{"temperature_loss", temperature[0].detached, temperature_gradient.detached}});

  actor_.descend(gradient.detached, adam_, static_cast<int64_t>(step));
  if (settings_.tune_alpha) log_alpha_.descend(temperature_gradient.detached, adam_, static_cast<int64_t>(step));
  policy_.outdate();
  report({{"actor/loss", out[0]}, {"actor/gradient", gradient}, {"actor/log_prob", out[1]}, {"actor/q", out[2]},
          {"actor/action", out[3]},
          {"temperature/loss", temperature[0]}, {"temperature/gradient", temperature_gradient},
          {"temperature/entropy", -log_prob}, {"temperature/alpha", alpha}});
  report.record();
}

// ---- settings -------------------------------------------------------------------------------------------------------
std::vector<Setting> SacSettings::settings() {
  const double tiny = 1e-12;
  return {
      {"batch_size", &batch_size, "rows", "transitions in one update", 1, 65536, {}},
      {"discount", &discount, "", "gamma, the weight of the next step's value", 0, 1, {}},
      {"target_rate", &target_rate, "", "tau: target = (1 - tau) target + tau critic after each update", 0, 1, {}},
      {"learning_rate", &learning_rate, "", "Adam's step size, the same for every network", tiny, 1, {}},
      {"adam_epsilon", &adam_epsilon, "", "added to the root of Adam's second moment", 0, 1, {}},
      {"width", &width, "units", "of each hidden layer (ReLU) of actor and critics", 1, 4096, {}},
      {"layers", &layers, "layers", "hidden, of actor and critics", 1, 7, {}},
      {"alpha", &alpha, "return", "initial temperature", tiny, 1e9, {}},
      {"tune_alpha", &tune_alpha, "", "move the temperature towards the target entropy, else it stays", 0, 1, {}},
      {"target_entropy_per_action", &target_entropy_per_action, "nats", "target entropy over the action's size", -100,
       100, {}},
  };
}

void SacSettings::adapt_loop(TrainingSettings& loop) const { loop.start_steps = 101; }   // 100 random steps

std::unique_ptr<Agent> SacSettings::make_agent(int observations, int actions, uint64_t seed) const {
  return std::make_unique<Sac>(observations, actions, *this, seed);
}

template std::unique_ptr<AlgorithmSettings> settings_of<SacSettings>();

}  // namespace meander
