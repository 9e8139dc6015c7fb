#include <meander/algos/sac.h>

#include <cmath>
#include <numbers>

#include <meander/algos/algorithm.h>
#include <meander/algos/training.h>

namespace meander {

namespace {

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
      critic_(observations, actions, hidden(settings), seed),
      policy_(acts_by({.observations = observations, .actions = actions,
                       .actor = PolicyDescription::Gaussian{&actor_layout_, &actor_trunk_, log_sigma_low,
                                                            log_sigma_high},
                       .params = &actor_.params, .bound = PolicyDescription::Bound::tanh})) {
  actor_trunk_ = add_mlp(actor_layout_, observations, hidden(settings), 2 * actions);
  actor_ = Trained(actor_layout_.size());
  actor_layout_.initialise(actor_.params, Stream(seed, Purpose::initialise_actor, 0));
  temperature_.add("log_alpha", {1}, Initial::zero);
  const float log_alpha = static_cast<float>(std::log(settings.alpha));
  log_alpha_.params.set(&log_alpha);
  networks_ = {{"actor/", &actor_layout_, &actor_, true},
               {"critic1/", &critic_.layout, &critic_.online[0], true},
               {"critic2/", &critic_.layout, &critic_.online[1], true},
               {"temperature/", &temperature_, &log_alpha_, true},
               {"target1/", &critic_.layout, &critic_.target[0], false},
               {"target2/", &critic_.layout, &critic_.target[1], false}};
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
namespace {

enum Metric { critic_loss1, critic_loss2, actor_loss, temperature_loss, q_mean, entropy, alpha_, metrics_count };
constexpr const char* metrics_of_sac[] = {"critic_loss1", "critic_loss2", "actor_loss", "temperature_loss",
                                          "q_mean", "entropy", "alpha"};
static_assert(std::size(metrics_of_sac) == metrics_count);

}  // namespace

std::span<const char* const> Sac::metric_names() const { return metrics_of_sac; }

void Sac::update(const Batch& batch, uint64_t step, std::span<float> metrics) {
  ArenaScope scope;
  update_critics(batch, step, metrics);
  const ActionValue smaller = [this](Value state, Value action) {
    return minimum(critic_.value(critic_.online[0].tensor(), state, action),
                   critic_.value(critic_.online[1].tensor(), state, action));
  };
  update_policy(batch.state, smaller, step, metrics);
}

void Sac::improve_policy(const ActionValue& q, Tensor state, uint64_t step) {
  ArenaScope scope;
  update_policy(state, q, step, {empty(1, metrics_count).f32(), metrics_count});
}

// Q towards r + gamma mask (min Q'(s', a') - alpha log pi(a'|s')), a' ~ pi(s'): half the sum of the mean squared errors.
void Sac::update_critics(const Batch& batch, uint64_t step, std::span<float> metrics) {
  ArenaScope scope;
  const int64_t rows = batch.state.rows;
  const Sample next = sample(actor_.tensor(), batch.next_state, normals(Purpose::next_action, step, rows, actions_));
  const auto q = critic_.target_values(batch.next_state, next.action.tensor);
  const Value soft = minimum(q[0], q[1]) - alpha() * next.log_prob;
  const Tensor target = (Value(batch.reward) + settings_.discount * (Value(batch.mask) * soft)).tensor;
  TwinCritic::Loss loss[2];
  for (int i : {0, 1}) loss[i] = critic_.loss(i, batch.state, batch.action, target, {}, 0.5);
  check_finite({{"critic_loss1", loss[0].loss, loss[0].gradient}, {"critic_loss2", loss[1].loss, loss[1].gradient}});
  record(metrics, {{0, loss[0].loss}, {1, loss[1].loss}});
  critic_.descend(loss, adam_, step, settings_.target_rate);
}

// Actor: mean of alpha log pi(a|s) - Q(s, a), a = tanh(mean + sigma noise). Temperature, by the alpha of before:
// - log alpha (log pi + target entropy).
void Sac::update_policy(Tensor state, const ActionValue& q, uint64_t step, std::span<float> metrics) {
  ArenaScope scope;
  const Tensor noise = normals(Purpose::policy_noise, step, state.rows, actions_);
  const Value alpha = this->alpha();
  const auto [out, gradient] = value_and_grad(
      [&](Value params) {
        const Sample policy = sample(params, state, noise);
        const Value value = q(state, policy.action);
        return Values<3>{mean_column(alpha * policy.log_prob - value), policy.log_prob, value};
      },
      actor_.tensor());
  check_finite({{"actor_loss", out[0].tensor, gradient.tensor}});

  const Value log_prob = mean_all(out[1]), gap = log_prob + settings_.target_entropy_per_action * actions_;
  const auto [temperature, temperature_gradient] =
      value_and_grad([&](Value log_alpha) { return Values<1>{log_alpha * -gap}; }, log_alpha_.tensor());
  check_finite({{"temperature_loss", temperature[0].tensor, temperature_gradient.tensor}});

  actor_.descend(gradient.tensor, adam_, static_cast<int64_t>(step));
  if (settings_.tune_alpha) log_alpha_.descend(temperature_gradient.tensor, adam_, static_cast<int64_t>(step));
  policy_.outdate();
  record(metrics, {{actor_loss, out[0].tensor},
                   {temperature_loss, temperature[0].tensor},
                   {q_mean, mean_all(out[2])},
                   {entropy, (-log_prob).tensor},
                   {alpha_, alpha.tensor}});
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
