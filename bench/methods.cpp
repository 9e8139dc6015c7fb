#include "bench/methods.h"

#include <algorithm>

#include <meander/algos/flow_map.h>
#include <meander/algos/fql.h>
#include <meander/algos/mvp.h>
#include <meander/algos/presets.h>
#include <meander/algos/qc.h>
#include <meander/algos/sac.h>
#include <meander/algos/som.h>
#include <meander/kernels/philox.h>

namespace meander::bench {
namespace {

struct Task {
  int observations, actions;
};
constexpr Task manipulation = {46, 5}, half_cheetah = {17, 6};  // with chunks of 5: 25 numbers
constexpr int64_t all_candidates = 32;

Buffer ones(int64_t size) {
  return Data().numbers("ones", size, [](double) { return 1; });
}

// An agent and random data for it.
struct Method {
  std::unique_ptr<Agent> agent;
  Buffer state, action, reward, mask, next_state, valid;
  std::vector<float> metrics, chunk;
  uint64_t step = 0;

  Method(const AlgorithmSettings& settings, const Task& task)
      : agent(settings.make_agent(task.observations, task.actions, 1)),
        metrics(agent->metric_names().size()),
        chunk(static_cast<size_t>(agent->chunk() * task.actions)) {
    const int64_t batch = agent->batch_size(), steps = agent->return_steps();
    state = Data().normals("state", batch * task.observations);
    action = Data().numbers("action", batch * std::ssize(chunk), [](double z) { return std::clamp(z, -1.0, 1.0); });
    reward = Data().normals("reward", batch * steps);
    next_state = Data().normals("next_state", batch * task.observations);
    mask = ones(batch), valid = ones(batch * steps);
  }
  void update(int64_t steps, bool offline = false) {
    const int64_t rows = agent->batch_size();
    const auto matrix = [&](const Buffer& b) { return view(b.data(), rows, b.size() / rows); };
    step += static_cast<uint64_t>(steps);
    agent->update({matrix(state), matrix(action), matrix(reward), matrix(mask), matrix(next_state), matrix(valid),
                   Tensor(), offline},
                  step, metrics);
  }
  void act() { agent->act({state.data(), static_cast<size_t>(agent->observations())}, ++step, chunk); }
};

// Every `interval`-th of the updates.
Case update_case(const AlgorithmSettings& settings, const Task& task, int64_t interval = 1) {
  const auto method = std::make_shared<Method>(settings, task);
  return {.run = [=] { method->update(interval); }};
}

// Updates before acting begins, or after.
Case flow_map_update_case(bool offline) {
  const auto method = std::make_shared<Method>(FlowMapSettings(), manipulation);
  if (!offline) method->agent->begin_online();
  return {.run = [=] { method->update(1, offline); }};
}

// Best of N of a flow, as the preset has it.
QcSettings best_of_n() {
  QcSettings settings;
  TrainingSettings loop;
  apply_preset(settings, loop, "bfn", "");
  return settings;
}

Case act_case(const AlgorithmSettings& settings, const Task& task) {
  const auto method = std::make_shared<Method>(settings, task);
  return {.run = [=] { method->act(); }};
}

Case mvp_update_case(const std::string& target) {
  MvpSettings settings;
  settings.target = target;
  return update_case(settings, manipulation);
}

template <class Settings>
Case chunk_act_case(int64_t candidates) {
  Settings settings;
  settings.chunk.candidates = candidates;
  return act_case(settings, manipulation);
}

Case som_act_case(int64_t candidates) {
  SomSettings settings;
  settings.candidates = candidates;
  return act_case(settings, half_cheetah);
}

// What SOM's actor would take as a diffusion or flow policy: the same networks, 20 Euler steps instead of one.
struct TwentySteps {
  static constexpr Hidden hidden = {256, 3, kernels::Activation::mish, kernels::Norm::none};
  FlowNetwork network{half_cheetah.observations, half_cheetah.actions, hidden, half_cheetah.actions, Times::sinusoidal};
  Buffer params{network.layout.size()};
  TwinCritic critic{half_cheetah.observations, half_cheetah.actions, hidden, TwinCritic::Chosen::smaller, 1};
  Policy policy;
  Buffer state = Data().normals("state", half_cheetah.observations);
  std::vector<float> action = std::vector<float>(half_cheetah.actions);
  uint64_t step = 0;

  explicit TwentySteps(int64_t candidates)
      : policy({.observations = half_cheetah.observations, .actions = half_cheetah.actions,
                .actor = PolicyDescription::Flow{&network, 20, true}, .params = &params,
                .scores = {{.layout = &critic.layout, .network = &critic.trunk(),
                            .params = {&critic.online[0].params, &critic.online[1].params}, .target = false,
                            .atoms = {}, .smaller = true}},
                .act_candidates = candidates}) {
    network.layout.initialise(params, Stream(1, Purpose::initialise_actor, 0));
  }
  void act() { policy.act({state.data(), static_cast<size_t>(state.size())}, 1, ++step, action); }
};

Case twenty_steps_case(int64_t candidates) {
  const auto policy = std::make_shared<TwentySteps>(candidates);
  return {.run = [=] { policy->act(); }};
}

}  // namespace

const std::vector<std::vector<MethodCase>>& method_cases() {
  static const std::vector<std::vector<MethodCase>> all = {
      {{"mvp_update/replay", [] { return mvp_update_case("replay"); }},
       {"mvp_update/best", [] { return mvp_update_case("best"); }},
       {"qc_update", [] { return update_case(QcSettings(), manipulation); }},
       {"fql_update", [] { return update_case(FqlSettings(), manipulation); }},
       {"bfn_update", [] { return update_case(best_of_n(), manipulation); }},
       {"flow_map_update/offline", [] { return flow_map_update_case(true); }},
       {"flow_map_update/online", [] { return flow_map_update_case(false); }}},
      {{"act/mvp", [] { return chunk_act_case<MvpSettings>(all_candidates); }},
       {"act/qc", [] { return chunk_act_case<QcSettings>(all_candidates); }},
       {"act/fql", [] { return act_case(FqlSettings(), manipulation); }},
       {"act/bfn", [] { return act_case(best_of_n(), manipulation); }},
       {"act/flow_map", [] { return chunk_act_case<FlowMapSettings>(all_candidates); }}},
      {{"act/mvp_1", [] { return chunk_act_case<MvpSettings>(1); }},
       {"act/qc_1", [] { return chunk_act_case<QcSettings>(1); }}},
      {{"act/som", [] { return som_act_case(all_candidates); }},
       {"act/som_20_steps", [] { return twenty_steps_case(all_candidates); }}},
      {{"act/som_1", [] { return som_act_case(1); }}, {"act/som_20_steps_1", [] { return twenty_steps_case(1); }}},
      {{"som_update", [] { return update_case(SomSettings(), half_cheetah, SomSettings().policy_interval); }}},
      {{"sac_update", [] { return update_case(SacSettings(), half_cheetah); }}},
  };
  return all;
}

const std::vector<Claim>& method_claims() {
  static const std::vector<Claim> all = {
      {"update: QC / MVP towards the replay's action", "qc_update", "mvp_update/replay", 3},
      {"update: QC / MVP towards the best candidate", "qc_update", "mvp_update/best", 1.7, 1.66},
      {"update: FQL / MVP towards the best candidate", "fql_update", "mvp_update/best", 0, 1.42},
      {"update: BFN / MVP towards the best candidate", "bfn_update", "mvp_update/best", 0, 2.26},
      {"action, best of 32: QC / MVP", "act/qc", "act/mvp", 3.5, 10.4},
      {"action, 1 candidate: QC / MVP", "act/qc_1", "act/mvp_1", 8},
      {"action, best of 32: 20 steps / SOM", "act/som_20_steps", "act/som", 6},
      {"action, 1 candidate: 20 steps / SOM", "act/som_20_steps_1", "act/som_1", 15},
  };
  return all;
}

}  // namespace meander::bench
