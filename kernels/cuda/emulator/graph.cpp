#include <atomic>
#include <cstring>
#include <utility>
#include <vector>

#include <meander/kernels/error.h>
#include <meander/kernels/cuda/emulator/executor.h>
#include <meander/kernels/cuda/emulator/memory.h>
#include <meander/kernels/philox.h>

// The emulator's stream: work is done at once, or recorded and done at each replay.
namespace meander::kernels::emulated {

struct Graph {
  struct Step {
    Body body = nullptr;                       // a kernel, or
    std::vector<std::byte> arguments;
    Launch launch;
    void* to = nullptr;                        // a copy, or a fill where `from` is null
    const void* from = nullptr;
    int byte = 0;
    size_t size = 0;
    std::vector<Node> after;                   // earlier steps
  };
  std::vector<Step> steps;
  std::vector<Node> next_after;                // what the next step to be recorded waits for

  void add(Step step) {
    step.after = std::exchange(next_after, {steps.size()});
    steps.push_back(std::move(step));
  }
};

namespace {

thread_local Graph* capturing = nullptr;
thread_local bool capture_is_void = false;

void copy_now(void* to, const void* from, size_t size) {
  const DeviceAtWork at_work;
  std::memmove(to, from, size);
}
void fill_now(void* p, int byte, size_t size) {
  const DeviceAtWork at_work;
  std::memset(p, byte, size);
}
std::atomic<uint64_t> started{0};

}  // namespace

uint64_t launches() { return started; }

void start(Body function, const void* bytes, size_t size, const Launch& launch) {
  ++started;
  if (!capturing) return run(function, bytes, launch);
  Graph::Step step;
  step.body = function;
  // Aligned as any argument wants it: the vector's memory comes from operator new.
  step.arguments.assign(static_cast<const std::byte*>(bytes), static_cast<const std::byte*>(bytes) + size);
  step.launch = launch;
  capturing->add(std::move(step));
}

void copy(void* to, const void* from, size_t size) {
  if (!size) return;
  if (!capturing) return copy_now(to, from, size);
  Graph::Step step;
  step.to = to, step.from = from, step.size = size;
  capturing->add(std::move(step));
}

void fill(void* p, int byte, size_t size) {
  if (!size) return;
  if (!capturing) return fill_now(p, byte, size);
  Graph::Step step;
  step.to = p, step.byte = byte, step.size = size;
  capturing->add(std::move(step));
}

void start_capture() {
  if (capturing) throw Failure("the stream is being captured already");
  capturing = new Graph;
  capture_is_void = false;
}
Graph* finish_capture() {
  Graph* const graph = std::exchange(capturing, nullptr);
  if (!capture_is_void) return graph;
  destroy(graph);
  throw Failure("operation failed due to a previous error during capture");
}
void expect_no_capture(const char* call) {
  if (!capturing) return;
  capture_is_void = true;
  throw Failure(message("operation not permitted when stream is capturing, in ", call));
}
void set_capture_dependencies(const std::vector<Node>& nodes) { capturing->next_after = nodes; }
const std::vector<Node>& capture_dependencies() { return capturing->next_after; }

static void run(const Graph::Step& s) {
  if (s.body)
    run(s.body, s.arguments.data(), s.launch);
  else if (s.from)
    copy_now(s.to, s.from, s.size);
  else
    fill_now(s.to, s.byte, s.size);
}

void replay(const Graph& graph) {
  static std::atomic<uint64_t> replays{0};
  const RandomKey order{.seed = replays++};
  std::vector<size_t> waits(graph.steps.size());
  std::vector<std::vector<Node>> followers(graph.steps.size());
  std::vector<Node> ready;
  for (Node i = 0; i < graph.steps.size(); ++i) {
    waits[i] = graph.steps[i].after.size();
    if (waits[i] == 0) ready.push_back(i);
    for (const Node before : graph.steps[i].after) followers[before].push_back(i);
  }
  std::vector<uint32_t> draws(graph.steps.size());
  philox_bits(order, static_cast<int64_t>(draws.size()), draws.data());
  for (const uint32_t draw : draws) {
    std::swap(ready[draw % ready.size()], ready.back());
    const Node i = ready.back();
    ready.pop_back();
    run(graph.steps[i]);
    for (const Node follower : followers[i])
      if (--waits[follower] == 0) ready.push_back(follower);
  }
}
void destroy(Graph* graph) { delete graph; }

}  // namespace meander::kernels::emulated
