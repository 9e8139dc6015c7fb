#include "algos/device_agent.h"

#include "core/arena.h"
#include "core/error.h"
#include "nn/queued_update.h"

namespace meander {

using kernels::DeviceScope;

DeviceAgent::DeviceAgent(const kernels::DeviceKernels& device, const std::function<std::unique_ptr<Agent>()>& make)
    : device_(device) {
  const DeviceScope scope(device_);
  agent_ = make();
  metrics_ = Buffer(std::ssize(agent_->metric_names()));
  step_ = static_cast<uint64_t*>(device_.allocate(sizeof *step_));
  failed_ = static_cast<uint32_t*>(device_.allocate(sizeof *failed_));
}

DeviceAgent::~DeviceAgent() {
  for (auto& [number, kind] : kinds_)
    if (kind.graph) device_.destroy_graph(kind.graph);
  device_.deallocate(step_);
  device_.deallocate(failed_);
}

void DeviceAgent::explore(std::span<const float> state, uint64_t step, std::span<float> action) {
  const DeviceScope scope(device_);
  agent_->explore(state, step, action);
}

void DeviceAgent::act(std::span<const float> state, uint64_t step, std::span<float> action) {
  const DeviceScope scope(device_);
  agent_->act(state, step, action);
}

void DeviceAgent::save(SafetensorsWriter& file) const {
  const DeviceScope scope(device_);
  agent_->save(file);
}

void DeviceAgent::load(const SafetensorsFile& file) {
  const DeviceScope scope(device_);
  agent_->load(file);
}

// Always to the same place, for the graph reads there.
Batch DeviceAgent::place(const Batch& batch) {
  Batch placed = batch;
  Tensor* const tensors[] = {&placed.state, &placed.action, &placed.reward, &placed.mask, &placed.next_state,
                             &placed.valid};
  const bool first = batch_.empty();
  for (size_t i = 0; i < std::size(tensors); ++i) {
    Tensor& t = *tensors[i];
    if (first) batch_.emplace_back(t ? t.size() : 0);
    if (batch_[i].size() != t.size())
      throw Error(message("a batch of another shape than the one before: ", t.size(), " numbers, not ", batch_[i].size()));
    if (!t) continue;
    batch_[i].set(t.f32());
    t = view(batch_[i].data(), t.rows, t.cols);
  }
  return placed;
}

void DeviceAgent::update(const Batch& batch, uint64_t step, std::span<float> metrics) {
  const DeviceScope scope(device_);
  ArenaScope arena;
  const Batch placed = place(batch);
  device_.copy(step_, &step, sizeof step);
  device_.fill(failed_, 0, sizeof *failed_);
  const int number = agent_->kind_of_update(batch);
  Kind& kind = kinds_[number];

  const bool record = number >= 0 && kind.ran && !kind.graph;
  if (!kind.graph) {
    QueuedUpdate queued{step, step_, failed_, record, {}};
    const struct Current {
      explicit Current(QueuedUpdate* q) { QueuedUpdate::current() = q; }
      ~Current() { QueuedUpdate::current() = nullptr; }
    } current(&queued);
    agent_->outdate();   // what was kept from before would be missing from the record
    if (record) device_.begin_capture();
    try {
      agent_->update(placed, step, {metrics_.data(), static_cast<size_t>(metrics_.size())});
    } catch (...) {
      if (record) device_.destroy_graph(device_.end_capture());
      throw;
    }
    if (record) kind.graph = device_.end_capture();
    kind.ran = true;
    kind.losses = queued.losses;
  }
  if (kind.graph) device_.launch_graph(kind.graph);
  agent_->outdate();

  uint32_t failed = 0;
  device_.copy(&failed, failed_, sizeof failed);
  metrics_.get(metrics.data());
  if (failed) throw Failure(message(kind.losses.at(failed - 1), " or its gradient is not finite"));
}

}  // namespace meander
