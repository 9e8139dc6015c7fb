#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include <meander/algos/agent.h>
#include <meander/algos/replay_mirror.h>

namespace meander::kernels { struct DeviceKernels; }

namespace meander {

// An agent whose numbers live on another device than the CPU, for a training loop that knows nothing of it: states and
// batches, or the rows they are gathered from, go there, actions and metrics come back. The first update of a kind runs
// piece by piece, the second is recorded as one graph, and from then on the graph is all that is started.
class DeviceAgent final : public Agent {
 public:
  // `make` is called with the device current, so that the agent's buffers lie on it. branches: parts of an update that
  // do not wait for each other may run at the same time; false is for comparison.
  DeviceAgent(const kernels::DeviceKernels& device, const std::function<std::unique_ptr<Agent>()>& make,
              bool branches = true);
  ~DeviceAgent() override;

  int observations() const override { return agent_->observations(); }
  int actions() const override { return agent_->actions(); }
  int batch_size() const override { return agent_->batch_size(); }
  int chunk() const override { return agent_->chunk(); }
  int return_steps() const override { return agent_->return_steps(); }
  std::span<const char* const> metric_names() const override { return agent_->metric_names(); }

  const PolicyDescription& policy() const override { return agent_->policy(); }
  void explore(std::span<const float> state, uint64_t step, std::span<float> action) override;
  void act(std::span<const float> state, uint64_t step, std::span<float> action) override;
  void act_by_best_of(int64_t candidates) override { agent_->act_by_best_of(candidates); }
  bool has_flow() const override { return agent_->has_flow(); }
  double one_step_gap(std::span<const float> states) override;
  std::optional<double> discount() const override { return agent_->discount(); }
  double chunk_value(std::span<const float> state, std::span<const float> chunk) override;
  double state_value(std::span<const float> state, uint64_t step) override;
  void begin_online() override;   // updates are recorded anew
  // On a device with memory of its own. One that shares the host's has no room to hold everything twice, and there the
  // way of a batch is short.
  bool mirror(Replay&) override;
  // As Agent's. The host waits once, at the end.
  void update(const Batch& batch, uint64_t step, std::span<float> metrics) override;

  void save(SafetensorsWriter& file) const override;
  void load(const SafetensorsFile& file) override;

 private:
  struct Kind {
    void* graph = nullptr;
    bool ran = false, recordable = true;
    size_t arena_bytes = 0;   // all that an update asks the arena for
    std::vector<const char*> losses;
  };
  // What goes there with each update, the step first and then the batch's tensors that have data, and what comes back,
  // the metrics and which loss failed: each in one piece of memory here that the device copies by itself, and one
  // there.
  struct Exchange {
    explicit Exchange(const kernels::DeviceKernels& device) : device(device) {}
    ~Exchange();
    Exchange(const Exchange&) = delete;
    void allocate(size_t size);
    void release();
    const kernels::DeviceKernels& device;
    std::byte* host = nullptr;
    std::byte* there = nullptr;
    size_t bytes = 0;
  };
  Batch place(const Batch& batch, uint64_t step);
  void queue(Batch placed, uint64_t step);
  void begin_record(const Kind& kind);
  void* end_record();
  void* record(const Batch& placed, uint64_t step, const Kind& kind);
  void say(const std::string& text) const;   // to standard error, where a run is slower than it could be
  void forget_graphs();

  const kernels::DeviceKernels& device_;
  const bool branches_;
  std::unique_ptr<Agent> agent_;
  std::unique_ptr<ReplayMirror> mirror_;  // null: batches come with their numbers
  Exchange inputs_, results_;
  size_t metrics_bytes_ = 0;
  std::map<int, Kind> kinds_;
  int queued_last_ = -1;   // the kind whose work the agent itself went through last
};

}  // namespace meander
