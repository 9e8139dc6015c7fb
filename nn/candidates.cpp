#include "nn/candidates.h"

namespace meander {

bool Candidates::in_one_launch(Tensor state, const kernels::RandomKey& noise, int64_t candidates, Tensor action) {
  const kernels::DeviceKernels& device = kernels::current();
  if (!device.best_candidate || precision_ != kernels::Precision::float32) return false;
  const bool scored = candidates > 1;
  const Tensor times = flow_.times();
  const kernels::CandidatesOf c{
      .candidates = candidates, .observations = observations_, .actions = actions_,
      .state = state.f32(), .noise = noise,
      .flow = &flow_.network().trunk(), .flow_params = flow_.params().data(), .steps = flow_.steps(),
      .times = times.f32(), .squash = squash_,
      .critic = scored ? scores_.network : nullptr,
      .critic_params = {scored ? scores_.params[0]->data() : nullptr, scored ? scores_.params[1]->data() : nullptr},
      .atoms = scores_.atoms ? scores_.atoms.f32() : nullptr, .smaller = scores_.smaller,
      .all = nullptr, .q = nullptr, .action = action.f32()};
  const int64_t size = device.candidates_workspace(c);
  if (size == 0) return false;
  ArenaScope scope;
  device.best_candidate(c, empty(1, size).f32());
  return true;
}

}  // namespace meander
