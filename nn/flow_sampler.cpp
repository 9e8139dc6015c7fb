#include "nn/flow_sampler.h"

namespace meander {

void FlowSampler::outdate() {
  times_current_ = false;
  for (ReadyWeights& ready : ready_) ready.outdate();
}

Tensor FlowSampler::times_of(const FlowNetwork& network, Value params) const {
  const Tensor t = empty(steps_, 1), r = empty(steps_, 1);
  for (int64_t i = 0; i < steps_; ++i) {
    t.f32()[i] = static_cast<float>(1 - double(i) / double(steps_));
    r.f32()[i] = static_cast<float>(1 - double(i + 1) / double(steps_));
  }
  return network.share_of_times(params, t, euler_ ? Value() : Value(r)).tensor;
}

Tensor FlowSampler::times() {
  if (!times_current_) {
    ArenaScope scope;
    const Tensor times = times_of(network_, params_.tensor());
    if (times_.size() == 0) times_ = Buffer(times.size());
    std::copy_n(times.f32(), times.size(), times_.data());
    times_current_ = true;
  }
  return view(times_.data(), steps_, times_.size() / steps_);
}

}  // namespace meander
