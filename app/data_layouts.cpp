#include <meander/app/data_layouts.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include <meander/kernels/error.h>

namespace meander {

namespace {

// Calls f(row, column, number) for all numbers of next_observations.
template <class F>
void for_each_successor(const ArrayFile& file, int64_t size, F&& f) {
  int64_t row = 0, column = 0;
  file.read("next_observations", [&](std::span<const float> piece) {
    for (const float x : piece) {
      f(row, column, x);
      if (++column == size) column = 0, ++row;
    }
  });
}

// For each row whether the next row is what followed; the last is followed by none. Of those that end an episode, or
// are not followed by the next, `kept` gets what followed, unless these are many: then nothing.
std::vector<uint8_t> followed_by_the_next(const ArrayFile& file, const std::vector<float>& observations,
                                          const std::vector<uint8_t>& ends, std::vector<float>& kept) {
  const int64_t n = std::ssize(ends), size = std::ssize(observations) / n;
  constexpr float rounding = 1e-5f;  // the two may have been rounded in different ways
  std::vector<uint8_t> follows(static_cast<size_t>(n), 1);
  std::vector<float> successor(static_cast<size_t>(size));
  constexpr int64_t few = 4096;
  bool keeping = true;
  for_each_successor(file, size, [&](int64_t row, int64_t column, float x) {
    successor[column] = x;
    if (row == n - 1) {
      follows[row] = 0;
    } else {
      const float next = observations[(row + 1) * size + column];
      if (!(std::fabs(x - next) <= rounding * std::max(1.0f, std::fabs(next)))) follows[row] = 0;
    }
    if (column < size - 1 || !keeping || (follows[row] && !ends[row])) return;
    kept.insert(kept.end(), successor.begin(), successor.end());
    keeping = std::ssize(kept) <= n * size / 16 + few;
  });
  if (!keeping) kept = {};
  return follows;
}

// A row is inserted after each row with `insert`: [n, size] to [n + inserted, size], the new ones of `value`.
template <class T>
void spread(std::vector<T>& rows, const std::vector<uint8_t>& insert, int64_t inserted, int64_t size, T value) {
  rows.resize(rows.size() + static_cast<size_t>(inserted * size));
  auto to = rows.end();
  for (int64_t row = std::ssize(insert) - 1; row >= 0; --row) {
    if (insert[row]) {
      to -= size;
      std::fill_n(to, size, value);
    }
    const auto from = rows.begin() + row * size;
    to = std::copy_backward(from, from + size, to);
  }
}

}  // namespace

StepPlan plan_step_rows(const ArrayFile& file, const StepRows& steps, const std::vector<float>& observations,
                        std::vector<std::string>& remarks) {
  const int64_t n = std::ssize(steps.ended);
  const bool told = !steps.timed_out.empty();
  std::vector<uint8_t> ends(static_cast<size_t>(n));
  for (int64_t row = 0; row < n; ++row) ends[row] = steps.ended[row] || (told && steps.timed_out[row]);
  const auto remark = [&](const auto&... parts) { remarks.push_back(message(parts...)); };

  std::vector<float> kept;
  if (steps.has_successors) {
    ends.back() = 1;
    const std::vector<uint8_t> follows = followed_by_the_next(file, observations, ends, kept);
    int64_t within = 0, broken = 0, going_on = 0;
    for (int64_t row = 0; row + 1 < n; ++row) {
      within += !ends[row];
      broken += !ends[row] && !follows[row];
      going_on += ends[row] && !steps.ended[row] && follows[row];
    }
    if (going_on > 0)
      remark("timeouts: ", going_on, " of them are followed by the same episode's next step: they mark something else ",
             "than its end, and each is taken for one");
    // Where hardly any row is followed by its own successor it is these that are of another kind (scaled, or made up).
    if (broken > 0 && told && 2 * broken > within) {
      remark("next_observations: ", broken, " of ", within, " that end no episode are not the next row's ",
             "observations: within episodes the order of the rows counts");
      kept = {};
    } else if (broken > 0) {
      remark("next_observations: ", broken, " that are marked as no end are not the next row's observations: ",
             "an episode is cut after each");
      for (int64_t row = 0; row + 1 < n; ++row) ends[row] |= !follows[row];
    }
  }

  // Without a successor a true end's is never looked at, a cut step leads nowhere that is known.
  ends.back() = 1;
  StepPlan plan{ends, ends, 0, steps.has_successors, std::move(kept)};
  int64_t dropped = 0;
  for (int64_t row = 0; row < n; ++row) {
    if (!steps.has_successors && !steps.ended[row]) plan.insert[row] = 0;
    plan.inserted += plan.insert[row];
    dropped += ends[row] && !plan.insert[row];
  }
  if (dropped > 0)
    remark(dropped, " step", dropped == 1 ? " is" : "s are", " dropped: the episode was cut there, and without ",
           "next_observations nobody knows what followed");
  return plan;
}

void spread_step_rows(const ArrayFile& file, const StepPlan& plan, DataSet& data) {
  const int64_t n = std::ssize(plan.ends), size = data.observations;
  const std::vector<uint8_t>& insert = plan.insert;
  data.terminal.reserve(static_cast<size_t>(n + plan.inserted));
  for (int64_t row = 0; row < n; ++row) data.terminal.push_back(plan.ends[row] && !insert[row]);
  spread(data.observation, insert, plan.inserted, size, 0.0f);
  spread(data.action, insert, plan.inserted, data.actions, 0.0f);
  spread(data.reward, insert, plan.inserted, 1, 0.0f);
  spread(data.mask, insert, plan.inserted, 1, 1.0f);
  spread(data.terminal, insert, plan.inserted, 1, uint8_t{1});

  // The inserted rows' observations.
  std::vector<float>& all = data.observation;
  if (!plan.successors.empty()) {
    auto from = plan.successors.begin();
    for (int64_t row = 0, before = 0; row < n; ++row)
      if (insert[row]) {
        std::copy_n(from, size, all.begin() + (row + ++before) * size);
        from += size;
      }
  } else if (plan.has_successors) {
    int64_t before = 0, last = 0;  // rows inserted before row `last`
    for_each_successor(file, size, [&](int64_t row, int64_t column, float x) {
      if (row != last) before += insert[last], last = row;
      if (insert[row]) all[(row + before + 1) * size + column] = x;
    });
  } else {
    for (int64_t row = 0, before = 0; row < n; ++row)
      if (insert[row]) {
        const auto from = all.begin() + (row + before) * size;
        std::copy(from, from + size, from + size);
        ++before;
      }
  }
}

}  // namespace meander
