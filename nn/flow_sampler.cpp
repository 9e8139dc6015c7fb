#include <meander/nn/flow_sampler.h>

namespace meander {

void FlowSampler::outdate() {
  times_kept_.outdate();
  for (ReadyWeights& ready : ready_) ready.outdate();
}

Tensor FlowSampler::times_of(const FlowNetwork& network, Value params) const {
  const Tensor t = step_begin_.tensor().reshape(steps_, 1), r = step_end_.tensor().reshape(steps_, 1);
  return network.project_times(params, t, euler_ ? Value() : Value(r)).detached;
}

Tensor FlowSampler::times() {
  if (!times_kept_.current()) {
    ArenaScope scope;
    const Tensor times = times_of(network_, params_.tensor());
    if (times_.size() == 0) times_ = Buffer(times.size());
    assign(times_.tensor(), times.reshape(1, times.size()));
    times_kept_.made();
  }
  return view(times_.data(), steps_, times_.size() / steps_);
}

}  // namespace meander
