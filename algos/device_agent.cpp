#include <meander/algos/device_agent.h>

#include <cstdio>
#include <cstring>

#include <meander/core/arena.h>
#include <meander/kernels/device.h>
#include <meander/kernels/error.h>
#include <meander/nn/queued_update.h>

namespace meander {

using kernels::DeviceScope;

DeviceAgent::DeviceAgent(const kernels::DeviceKernels& device, const std::function<std::unique_ptr<Agent>()>& make,
                         bool branches)
    : device_(device), branches_(branches), inputs_(device), results_(device) {
  const DeviceScope scope(device_);
  agent_ = make();
  metrics_bytes_ = agent_->metric_names().size() * sizeof(float);
  results_.allocate(metrics_bytes_ + sizeof(uint32_t));
}

DeviceAgent::~DeviceAgent() { forget_graphs(); }

void DeviceAgent::forget_graphs() {
  for (auto& [number, kind] : kinds_)
    if (kind.graph) device_.destroy_graph(kind.graph);
  kinds_.clear();
}

DeviceAgent::Exchange::~Exchange() { release(); }

void DeviceAgent::Exchange::release() {
  if (host) device.deallocate_host(host);
  if (there) device.deallocate(there);
  host = there = nullptr;
}

void DeviceAgent::Exchange::allocate(size_t size) {
  bytes = size;
  host = static_cast<std::byte*>(device.allocate_host(size));
  there = static_cast<std::byte*>(device.allocate(size));
}

void DeviceAgent::explore(std::span<const float> state, uint64_t step, std::span<float> action) {
  const DeviceScope scope(device_);
  agent_->explore(state, step, action);
}

void DeviceAgent::act(std::span<const float> state, uint64_t step, std::span<float> action) {
  const DeviceScope scope(device_);
  agent_->act(state, step, action);
}

double DeviceAgent::one_step_gap(std::span<const float> states) {
  const DeviceScope scope(device_);
  return agent_->one_step_gap(states);
}

double DeviceAgent::chunk_value(std::span<const float> state, std::span<const float> chunk) {
  const DeviceScope scope(device_);
  return agent_->chunk_value(state, chunk);
}

double DeviceAgent::state_value(std::span<const float> state, uint64_t step) {
  const DeviceScope scope(device_);
  return agent_->state_value(state, step);
}

void DeviceAgent::save(SafetensorsWriter& file) const {
  const DeviceScope scope(device_);
  agent_->save(file);
}

void DeviceAgent::load(const SafetensorsFile& file) {
  const DeviceScope scope(device_);
  agent_->load(file);
}

void DeviceAgent::begin_online() {
  const DeviceScope scope(device_);
  forget_graphs();
  agent_->begin_online();
  agent_->outdate();
}

bool DeviceAgent::mirror(Replay& replay) {
  if (device_.shares_memory) return false;
  const DeviceScope scope(device_);
  // Of another replay before, and of batches in another form.
  forget_graphs();
  inputs_.release();
  mirror_.reset();
  mirror_ = std::make_unique<ReplayMirror>(device_, replay);
  return true;
}

// Always to the same place, for the graph reads there.
Batch DeviceAgent::place(const Batch& batch, uint64_t step) {
  Batch placed = batch;
  Tensor* const tensors[] = {&placed.state, &placed.action, &placed.reward, &placed.mask, &placed.next_state,
                             &placed.valid, &placed.rows};
  constexpr size_t alignment = 256;
  const auto bytes_of = [](const Tensor& t) {
    return t ? (static_cast<size_t>(t.size()) * bytes(t.dtype) + alignment - 1) / alignment * alignment : 0;
  };
  size_t size = alignment;
  for (const Tensor* t : tensors) size += bytes_of(*t);
  if (!inputs_.host) inputs_.allocate(size);
  if (size != inputs_.bytes)
    throw Error(message("a batch of another size than the first one: ", size, " bytes, not ", inputs_.bytes));
  std::memcpy(inputs_.host, &step, sizeof step);
  size_t at = alignment;
  for (Tensor* t : tensors) {
    if (!*t) continue;
    std::memcpy(inputs_.host + at, t->data, static_cast<size_t>(t->size()) * bytes(t->dtype));
    t->data = inputs_.there + at;
    at += bytes_of(*t);
  }
  return placed;
}

// All the work of an update, done or recorded.
void DeviceAgent::queue(Batch placed, uint64_t step) {
  device_.copy(inputs_.there, inputs_.host, inputs_.bytes);
  device_.fill(results_.there + metrics_bytes_, 0, sizeof(uint32_t));
  if (placed.rows) mirror_->gather(placed);
  agent_->update(placed, step, {reinterpret_cast<float*>(results_.there), metrics_bytes_ / sizeof(float)});
  agent_->prepare_to_act();
  device_.copy(results_.host, results_.there, results_.bytes);
}

// While work is recorded a device gives no memory, and what parts do side by side is not used again: so all of it is
// there before. Where it is not, the parts are recorded one after the other, in the memory of the first update.
void DeviceAgent::begin_record(const Kind& kind) {
  bool branches = branches_;
  if (branches) {
    try {
      DeviceArena::current()->reserve(kind.arena_bytes);
    } catch (const Failure& failure) {
      say(message("parts of an update run one after the other: side by side they need ", kind.arena_bytes >> 20,
                  " MB more (", failure.what(), ")"));
      branches = false;
    }
  }
  device_.begin_capture(branches);
  DeviceArena::current()->keep(branches);
}

void* DeviceAgent::end_record() {
  DeviceArena::current()->keep(false);
  return device_.end_capture();
}

// The graph, or null where the device refuses to record: the update is then to be queued again, for nothing was done.
void* DeviceAgent::record(const Batch& placed, uint64_t step, const Kind& kind) {
  bool begun = false;
  const auto abandon = [&] {
    if (!begun) return;
    try {
      if (void* const graph = end_record()) device_.destroy_graph(graph);
    } catch (const Failure&) {   // what made it invalid is on its way already
    }
  };
  try {
    begin_record(kind);
    begun = true;
    queue(placed, step);
    begun = false;
    return end_record();
  } catch (const Failure& failure) {
    abandon();
    say(message("updates are not recorded, and slower: ", failure.what()));
    return nullptr;
  } catch (...) {
    abandon();
    throw;
  }
}

void DeviceAgent::say(const std::string& text) const {
  std::fprintf(stderr, "meander: %s: %s\n", device_.name, text.c_str());
}

void DeviceAgent::update(const Batch& batch, uint64_t step, std::span<float> metrics) {
  const DeviceScope scope(device_);
  ArenaScope arena;
  const Batch placed = place(batch, step);
  if (batch.rows) mirror_->refresh();
  const int number = agent_->kind_of_update(batch);
  Kind& kind = kinds_[number];

  const bool recording = !kind.graph && number >= 0 && kind.ran && kind.recordable;
  QueuedUpdate queued{step, reinterpret_cast<const uint64_t*>(inputs_.there),
                      reinterpret_cast<uint32_t*>(results_.there + metrics_bytes_), recording, {}};
  {
    const struct Current {
      explicit Current(QueuedUpdate* q) { QueuedUpdate::current() = q; }
      ~Current() { QueuedUpdate::current() = nullptr; }
    } current(&queued);
    if (recording) {
      agent_->outdate();          // what was kept from before would be missing from the record,
      agent_->prepare_to_act();   // but for this, which every update leaves behind
      kind.graph = record(placed, step, kind);
      kind.losses = queued.losses;
      if (!kind.graph) {
        kind.recordable = false;
        queued.recorded = false, queued.losses.clear();
        agent_->outdate();
      }
    } else {
      agent_->prepare_to_act();
    }
    if (!kind.graph) {
      DeviceArena* const device_arena = DeviceArena::current();
      const size_t before = device_arena->given();
      queue(placed, step);
      kind.arena_bytes = device_arena->given() - before;
      kind.ran = true;
      kind.losses = queued.losses;
    }
    if (recording || !kind.graph) queued_last_ = number;
  }
  if (kind.graph) {
    device_.launch_graph(kind.graph);
    ++QueuedUpdate::repeated();
    if (queued_last_ != number) agent_->outdate();   // another kind of update may have made and kept more than this
  }
  device_.synchronise();

  std::memcpy(metrics.data(), results_.host, metrics_bytes_);
  uint32_t failed;
  std::memcpy(&failed, results_.host + metrics_bytes_, sizeof failed);
  if (failed) throw Diverged(message(kind.losses.at(failed - 1), " or its gradient is not finite"));
}

}  // namespace meander
