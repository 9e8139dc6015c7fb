#include <meander/nn/policy.h>

#include <algorithm>

#include <meander/core/arena.h>
#include <meander/core/random.h>
#include <meander/kernels/device.h>
#include <meander/kernels/error.h>

namespace meander {

namespace {

kernels::RandomKey key(uint64_t seed, Purpose purpose, uint64_t step) {
  return {seed, static_cast<uint32_t>(purpose), step};
}

Tensor normals(const kernels::RandomKey& key, int64_t rows, int64_t cols) {
  const Tensor x = empty(rows, cols);
  kernels::current().philox_normal(key, nullptr, x.size(), x.f32());
  return x;
}

Tensor placed_row(std::span<const float> state) { return placed(view(state.data(), 1, std::ssize(state))); }

}  // namespace

Policy::Policy(const PolicyDescription& description) : description_(description) {
  if (const auto* flow = std::get_if<PolicyDescription::Flow>(&description.actor))
    flow_.emplace(*flow->network, *description.params, flow->steps, flow->euler);
}

// ---- generate and select --------------------------------------------------------------------------------------------
Tensor Policy::gaussian(Tensor state, Tensor noise) {
  const auto& head = std::get<PolicyDescription::Gaussian>(description_.actor);
  const kernels::MlpShape& network = *head.network;
  const int64_t size = description_.numbers();
  const Value params = description_.params->tensor(), bias = parameter(params, network.bias[0], 1, network.width[1]);
  const Value out = mlp_projected(network, params, state, 0, bias,
                                  ready_actor_.of(network, *description_.params, description_.precision));
  const Value mean = slice_columns(out, 0, size);
  if (!noise) return mean.detached;
  const Value sigma = exp(clip(slice_columns(out, size, size), head.log_sigma_low, head.log_sigma_high));
  return (mean + sigma * Value(noise)).detached;
}

Tensor Policy::one_step(Tensor state, Tensor noise) {
  const kernels::MlpShape& network = *std::get<PolicyDescription::OneStep>(description_.actor).network;
  return mlp_shared(network, description_.params->tensor(), noise, state, true,
                    ready_actor_.of(network, *description_.params, description_.precision)).detached;
}

Tensor Policy::sample(Tensor state, Tensor noise) {
  const Value x = flow_ ? (*flow_)(state, noise, description_.precision)
                  : is_gaussian() ? gaussian(state, noise) : one_step(state, noise);
  return (description_.bound == PolicyDescription::Bound::tanh ? tanh(x) : clip(x, -1, 1)).detached;
}

Choice Policy::best_candidate(Tensor state, Tensor noise) {
  const Tensor action = sample(state, noise);
  if (action.rows == state.rows) return {.action = action, .q = {}, .q1 = {}, .q2 = {}, .best = {}, .chosen = action};
  const PolicyDescription::Scores& scores = *description_.scores;
  const auto value = [&](int i) {
    const Buffer& params = *scores.params[i];
    const kernels::MlpProducts& ready = ready_scores_[i].of(*scores.network, params, description_.precision);
    const Value out = mlp_shared(*scores.network, params.tensor(), action, state, false, ready);
    return reshape(scores.atoms ? softmax_expectation(out, scores.atoms) : out, state.rows, action.rows / state.rows);
  };
  const Value first = value(0), second = value(1);
  const Tensor q = (scores.smaller ? minimum(first, second) : 0.5 * (first + second)).detached;
  return {.action = action, .q = q, .q1 = first.detached, .q2 = second.detached, .best = argmax_row(q),
          .chosen = gather_rows(action, argmax_row(q, q.cols)).detached};
}

Tensor Policy::with_noise(Tensor action, Tensor noise) const {
  const Value deviation = 0.1 * exp(description_.noise_log_scale->tensor());
  return clip(Value(action) + deviation * Value(noise), -1, 1).detached;
}

Number Policy::one_step_gap(Tensor state, Tensor noise, int64_t euler_steps) {
  const auto* flow = std::get_if<PolicyDescription::Flow>(&description_.actor);
  const auto* distilled = std::get_if<PolicyDescription::OneStep>(&description_.actor);
  const FlowNetwork* network = flow ? flow->network : distilled ? distilled->distilled : nullptr;
  if (!network) throw Error("this policy stands for no flow");
  const Buffer& params = flow ? *description_.params : *distilled->distilled_params;
  const auto bounded = [&](Value x) {
    return description_.bound == PolicyDescription::Bound::tanh ? tanh(x) : clip(x, -1, 1);
  };
  FlowSampler many(*network, params, euler_steps, true);
  const Value b = bounded(many(state, noise));
  const Value a = flow ? bounded(FlowSampler(*network, params, 1, flow->euler)(state, noise)) : sample(state, noise);
  const Value difference = a - b;
  return mean_all(maximum(difference, -difference)).detached;
}

// ---- acting ---------------------------------------------------------------------------------------------------------
void Policy::explore(std::span<const float> state, uint64_t seed, uint64_t step, std::span<float> chunk) {
  const kernels::RandomKey noise = key(seed, Purpose::explore, step);
  if (!description_.noise_log_scale) return decide(state, noise, description_.explore_candidates, chunk);
  ArenaScope scope;
  const Tensor chosen = decide(placed_row(state), noise, description_.explore_candidates);
  fetch(with_noise(chosen, normals(key(seed, Purpose::exploration_noise, step), 1, chosen.cols)), chunk.data());
}

void Policy::act(std::span<const float> state, uint64_t seed, uint64_t step, std::span<float> chunk) {
  if (!is_gaussian()) return decide(state, key(seed, Purpose::evaluate, step), description_.act_candidates, chunk);
  ArenaScope scope;
  fetch(sample(placed_row(state), {}), chunk.data());
}

void Policy::act_by_best_of(int64_t candidates) {
  if (candidates < 1) throw Error(message("the best of ", candidates, " candidates"));
  if (candidates > 1 && !description_.scores) throw Error("this policy has no scores to choose among candidates by");
  description_.act_candidates = candidates;
}

Tensor Policy::decide(Tensor state, const kernels::RandomKey& noise, int64_t candidates) {
  const Tensor chunk = empty(1, description_.numbers());
  if (in_one_launch(state.f32(), noise, candidates, chunk.f32())) return chunk;
  return best_candidate(state, normals(noise, candidates, chunk.cols)).chosen;
}

void Policy::decide(std::span<const float> state, const kernels::RandomKey& noise, int64_t candidates,
                    std::span<float> chunk) {
  if (in_one_launch(state, noise, candidates, chunk)) return;
  ArenaScope scope;
  fetch(decide(placed_row(state), noise, candidates), chunk.data());
}

bool Policy::in_one_launch(const float* state, const kernels::RandomKey& noise, int64_t candidates, float* chunk) {
  const kernels::DeviceKernels& device = kernels::current();
  if (!device.best_candidate || !flow_ || description_.precision != kernels::Precision::float32) return false;
  const PolicyDescription::Scores* const scores = candidates > 1 ? &*description_.scores : nullptr;
  const Tensor times = flow_->times();
  const kernels::CandidatesArguments c{
      .candidates = candidates, .observations = description_.observations, .actions = description_.numbers(),
      .state = state, .noise = noise,
      .flow = &flow_->network().trunk(), .flow_params = description_.params->data(), .steps = flow_->steps(),
      .times = times.f32(), .squash = description_.bound == PolicyDescription::Bound::tanh,
      .critic = scores ? scores->network : nullptr,
      .critic_params = {scores ? scores->params[0]->data() : nullptr, scores ? scores->params[1]->data() : nullptr},
      .atoms = scores && scores->atoms ? scores->atoms.f32() : nullptr, .smaller = scores && scores->smaller,
      .all = nullptr, .q = nullptr, .action = chunk};
  const int64_t size = device.candidates_workspace(c);
  if (size == 0) return false;
  ArenaScope scope;
  device.best_candidate(c, empty(1, size).f32());
  return true;
}

// Without a copy: the kernel takes the state from the host's memory and leaves the chunk there.
bool Policy::in_one_launch(std::span<const float> state, const kernels::RandomKey& noise, int64_t candidates,
                           std::span<float> chunk) {
  const kernels::DeviceKernels& device = kernels::current();
  if (!device.best_candidate || !flow_) return false;
  if (!exchange_)
    exchange_ = {static_cast<float*>(device.allocate_host((state.size() + chunk.size()) * sizeof(float))),
                 device.deallocate_host};
  float* const state_there = exchange_.get();
  float* const chunk_there = state_there + state.size();
  std::copy(state.begin(), state.end(), state_there);
  if (!in_one_launch(state_there, noise, candidates, chunk_there)) return false;
  device.synchronise();
  std::copy_n(chunk_there, chunk.size(), chunk.begin());
  return true;
}

// ---- what is kept ---------------------------------------------------------------------------------------------------
void Policy::prepare() {
  if (flow_) flow_->times();
}

void Policy::outdate() {
  if (flow_) flow_->outdate();
  ready_actor_.outdate();
  outdate_scores();
}

void Policy::outdate_scores() {
  for (ReadyWeights& ready : ready_scores_) ready.outdate();
}

}  // namespace meander
