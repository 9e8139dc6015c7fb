#include <meander/nn/candidates.h>

#include <algorithm>

namespace meander {

bool Candidates::in_one_launch(const float* state, const kernels::RandomKey& noise, int64_t candidates, float* action) {
  const kernels::DeviceKernels& device = kernels::current();
  if (!device.best_candidate || precision_ != kernels::Precision::float32) return false;
  const bool scored = candidates > 1;
  const Tensor times = flow_.times();
  const kernels::CandidatesOf c{
      .candidates = candidates, .observations = observations_, .actions = actions_,
      .state = state, .noise = noise,
      .flow = &flow_.network().trunk(), .flow_params = flow_.params().data(), .steps = flow_.steps(),
      .times = times.f32(), .squash = squash_,
      .critic = scored ? scores_.network : nullptr,
      .critic_params = {scored ? scores_.params[0]->data() : nullptr, scored ? scores_.params[1]->data() : nullptr},
      .atoms = scores_.atoms ? scores_.atoms.f32() : nullptr, .smaller = scores_.smaller,
      .all = nullptr, .q = nullptr, .action = action};
  const int64_t size = device.candidates_workspace(c);
  if (size == 0) return false;
  ArenaScope scope;
  device.best_candidate(c, empty(1, size).f32());
  return true;
}

// Without a copy: the kernel takes the state from the host's memory and leaves the action there.
bool Candidates::in_one_launch(std::span<const float> state, const kernels::RandomKey& noise, int64_t candidates,
                               std::span<float> action) {
  const kernels::DeviceKernels& device = kernels::current();
  if (!device.best_candidate) return false;
  if (!exchange_)
    exchange_ = {static_cast<float*>(device.allocate_host((state.size() + action.size()) * sizeof(float))),
                 device.deallocate_host};
  float* const state_there = exchange_.get();
  float* const action_there = state_there + state.size();
  std::copy(state.begin(), state.end(), state_there);
  if (!in_one_launch(state_there, noise, candidates, action_there)) return false;
  device.synchronise();
  std::copy_n(action_there, action.size(), action.begin());
  return true;
}

}  // namespace meander
