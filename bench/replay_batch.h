#pragma once

#include <algorithm>
#include <vector>

#include <meander/algos/agent.h>
#include <meander/algos/replay.h>
#include "bench/data.h"

namespace meander::bench {

// What an agent learns from in a benchmark: batches of transitions from a replay of 4,096, drawn as in training, where
// they come from the agent's own copy of the rows if it keeps one.
class ReplayBatch {
 public:
  explicit ReplayBatch(Agent& agent)
      : replay_(1, transitions, agent.observations(), agent.actions()) {
    const int64_t B = agent.batch_size(), S = agent.observations(), A = agent.actions();
    const Data data;
    const Buffer observations = data.normals("observations", (transitions + 1) * S);
    const Buffer actions =
        data.numbers("actions", transitions * A, [](double z) { return std::clamp(z, -1.0, 1.0); });
    const Buffer rewards = data.normals("rewards", transitions);
    const auto row = [](const Buffer& b, int64_t i, int64_t n) {
      return std::span(b.data() + i * n, static_cast<size_t>(n));
    };
    replay_.begin_episode(0, row(observations, 0, S));
    for (int64_t i = 0; i < transitions; ++i)
      replay_.append(0, row(actions, i, A), rewards.data()[i], false, false, row(observations, i + 1, S));

    const bool mirrored = agent.mirror(replay_);
    const auto take = [&](int64_t cols) {
      memory_.emplace_back(static_cast<size_t>(B * cols));
      return view(memory_.back().data(), B, cols);
    };
    const auto from_rows = [&](int64_t cols) { return mirrored ? Tensor{nullptr, B, cols} : take(cols); };
    batch_ = {.state = from_rows(S), .action = from_rows(A), .reward = from_rows(1), .mask = take(1),
              .next_state = from_rows(S), .valid = take(1)};
    rows_.resize(static_cast<size_t>(2 * B));
    if (mirrored) batch_.rows = view(rows_.data(), B, 2);
  }

  const Batch& draw(uint64_t step) {
    replay_.sample({1, static_cast<uint32_t>(Purpose::batch), step}, batch_);
    return batch_;
  }

 private:
  static constexpr int64_t transitions = 4096;
  Replay replay_;
  std::vector<std::vector<float>> memory_;
  std::vector<uint32_t> rows_;
  Batch batch_;
};

}  // namespace meander::bench
