#include <meander/nn/train_state.h>

#include <cassert>
#include <iterator>

#include <meander/kernels/device.h>
#include <meander/nn/queued_update.h>

namespace meander {

void TrainState::follow(const TrainState& source, double rate) {
  kernels::current().exponential_average(params.size(), static_cast<float>(rate), source.params.data(), params.data(),
                                         QueuedUpdate::failed_flag());
}

void TrainState::descend(Tensor gradient, const kernels::AdamConstants& constants, int64_t step) {
  meander::descend({{*this, gradient}}, constants, step);
}

void descend(std::initializer_list<Descent> descents, const kernels::AdamConstants& constants, int64_t step,
             double rate) {
  kernels::AdamArguments all[4];
  size_t count = 0;
  assert(descents.size() <= std::size(all));
  for (const Descent& d : descents) {
    TrainState& n = d.network;
    all[count++] = {n.params.size(), d.gradient.f32(), n.params.data(), n.m.data(), n.v.data(),
                    d.target ? d.target->params.data() : nullptr};
  }
  kernels::current().adam({all, count}, constants, static_cast<float>(rate), step,
                          QueuedUpdate::place_of(static_cast<uint64_t>(step)), QueuedUpdate::failed_flag());
}

}  // namespace meander
