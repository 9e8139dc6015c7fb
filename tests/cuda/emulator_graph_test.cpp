#include "emulator.h"

#include <algorithm>

// The emulator's stream: what is recorded, and in which order it is done.
namespace meander::kernels::emulated {
namespace {

__global__ void store_number(uint64_t number, const uint64_t* in_memory, uint64_t* y) {
  y[0] = number;
  y[1] = *in_memory;
}
// y[0] counts, and the numbers follow in the order they came.
__global__ void append(int number, int* y) { y[++y[0]] = number; }

}  // namespace

// Protects the rule that what changes from update to update lies in device memory: a step count that is passed as an
// argument is that of the capture at every replay, as on a GPU.
TEST_CASE("emulator: a graph replays the arguments of its capture") {
  const Memory<uint64_t> step(std::vector<uint64_t>{1}), y(std::vector<uint64_t>{0, 0});
  uint64_t number = 1;
  start_capture();
  launch(store_number, 1, 1, 0, number, step.data, y.data);
  Graph* graph = finish_capture();
  CHECK(y.host() == std::vector<uint64_t>{0, 0});   // recorded, not done
  for (number = 2; number < 4; ++number) {
    copy(step, &number, sizeof number);
    replay(*graph);
    CHECK(y.host() == std::vector<uint64_t>{1, number});
  }
  destroy(graph);
}

// Protects the check of what waits for what: each replay takes another of the orders that a recorded update allows.
TEST_CASE("emulator: a graph's branches are done in changing orders, and what waits comes after") {
  const Memory<int> y(6);
  start_capture();
  fill(y.data, 0, sizeof(int));
  const std::vector<Node> first = capture_dependencies();
  launch(append, 1, 1, 0, 1, y.data);
  launch(append, 1, 1, 0, 2, y.data);   // after 1
  std::vector<Node> ends = capture_dependencies();
  set_capture_dependencies(first);
  launch(append, 1, 1, 0, 3, y.data);
  ends.push_back(capture_dependencies()[0]);
  set_capture_dependencies(ends);
  launch(append, 1, 1, 0, 4, y.data);
  Graph* graph = finish_capture();
  std::vector<std::vector<int>> seen;
  for (int i = 0; i < 60; ++i) {
    replay(*graph);
    const std::vector<int> all = y.host(), order(all.begin() + 1, all.begin() + 5);
    if (std::find(seen.begin(), seen.end(), order) == seen.end()) seen.push_back(order);
  }
  std::sort(seen.begin(), seen.end());
  CHECK(seen == std::vector<std::vector<int>>{{1, 2, 3, 4}, {1, 3, 2, 4}, {3, 1, 2, 4}});
  destroy(graph);
}

}  // namespace meander::kernels::emulated
