#include <meander/kernels/replay.h>

#include <algorithm>

#include "against_cpu.h"

// kernels/cuda/replay.cu against the CPU: numbers are moved, hence equal bits.
namespace meander {

// Protects one row, observations of fewer numbers than a warp and of more, in vectors of four and not, rows between
// which a few numbers are skipped, chunks of fewer actions than rewards, rows that are named twice, and addresses in
// the middle of memory. What is not written stays NaN, as is what lies between the rows.
TEST_CASE("a batch from the rows of a replay has the CPU's bits") {
  on_each_device([](OnDevice& d) {
    const struct {
      int64_t batch, steps, chunk, observations, actions, stride, shift;
    } cases[] = {{1, 1, 1, 1, 1, 3, 0},       {1, 1, 1, 3, 1, 8, 0},       {9, 1, 1, 3, 1, 5, 0},
                 {5, 1, 1, 17, 6, 24, 0},     {3, 1, 1, 376, 17, 396, 0},  {3, 1, 1, 376, 21, 398, 0},
                 {3, 1, 1, 376, 17, 396, 1},  {4, 5, 5, 3, 2, 8, 0},       {3, 4, 2, 12, 40, 56, 0},
                 {40, 3, 1, 8, 21, 32, 0}};
    for (const auto& c : cases) {
      CAPTURE(c.batch);
      CAPTURE(c.steps);
      CAPTURE(c.observations);
      CAPTURE(c.stride);
      const int64_t count = 11, width = c.observations + c.actions + 1;
      Floats rows = normals(count * c.stride + c.shift, 1);
      for (int64_t i = 0; i < count; ++i)
        for (int64_t j = width; j < c.stride; ++j) rows[static_cast<size_t>(c.shift + i * c.stride + j)] = NAN;
      std::vector<uint32_t> row(static_cast<size_t>(c.batch * (c.steps + 1)));
      kernels::philox_index({.seed = 2}, std::ssize(row), static_cast<uint32_t>(count), row.data());
      const size_t sizes[] = {static_cast<size_t>(c.batch * c.observations),
                              static_cast<size_t>(c.batch * c.chunk * c.actions),
                              static_cast<size_t>(c.batch * c.steps),
                              static_cast<size_t>(c.batch * c.observations)};
      Floats want[4];
      OnDevice::Array<float> got[4];
      for (int i = 0; i < 4; ++i) want[i] = Floats(sizes[i], NAN), got[i] = d.room(sizes[i]);
      kernels::ReplayBatchArguments here{c.batch, c.steps, c.chunk, c.observations, c.actions, c.stride,
                                         rows.data() + c.shift, row.data(), want[0].data(), want[1].data(),
                                         want[2].data(), want[3].data()};
      kernels::replay_batch(here);
      for (const Floats& w : want) CHECK(std::none_of(w.begin(), w.end(), [](float x) { return std::isnan(x); }));
      kernels::ReplayBatchArguments there = here;
      there.rows = d.up(rows) + c.shift, there.row = d.up(row);
      there.state = got[0], there.action = got[1], there.reward = got[2], there.next_state = got[3];
      d.k.replay_batch(there);
      for (int i = 0; i < 4; ++i) CHECK(same_numbers(d.down(got[i]), want[i]));
    }
  });
}

}  // namespace meander
