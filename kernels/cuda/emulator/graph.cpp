#include <atomic>
#include <cstring>
#include <utility>
#include <vector>

#include "core/error.h"
#include "kernels/cuda/emulator/executor.h"
#include "kernels/cuda/emulator/memory.h"

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
  };
  std::vector<Step> steps;
};

namespace {

thread_local Graph* capturing = nullptr;

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
  capturing->steps.push_back(std::move(step));
}

void copy(void* to, const void* from, size_t size) {
  if (!size) return;
  if (!capturing) return copy_now(to, from, size);
  Graph::Step step;
  step.to = to, step.from = from, step.size = size;
  capturing->steps.push_back(std::move(step));
}

void fill(void* p, int byte, size_t size) {
  if (!size) return;
  if (!capturing) return fill_now(p, byte, size);
  Graph::Step step;
  step.to = p, step.byte = byte, step.size = size;
  capturing->steps.push_back(std::move(step));
}

void begin_capture() {
  if (capturing) throw Failure("the stream is being captured already");
  capturing = new Graph;
}
Graph* end_capture() { return std::exchange(capturing, nullptr); }

void replay(const Graph& graph) {
  for (const Graph::Step& s : graph.steps) {
    if (s.body)
      run(s.body, s.arguments.data(), s.launch);
    else if (s.from)
      copy_now(s.to, s.from, s.size);
    else
      fill_now(s.to, s.byte, s.size);
  }
}
void destroy(Graph* graph) { delete graph; }

}  // namespace meander::kernels::emulated
