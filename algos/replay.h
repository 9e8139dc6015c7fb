#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <meander/algos/agent.h>
#include <meander/algos/data_set.h>
#include <meander/core/safetensors.h>
#include <meander/kernels/philox.h>

namespace meander {

// Zeroed memory that the system provides page by page when it is first touched: a short run uses little of it.
class LazyMemory {
 public:
  explicit LazyMemory(size_t bytes);  // throws Failure if the address space cannot be reserved
  ~LazyMemory();
  LazyMemory(LazyMemory&& other) noexcept;
  LazyMemory(const LazyMemory&) = delete;
  LazyMemory& operator=(const LazyMemory&) = delete;

  template <class T>
  T* as() const { return static_cast<T*>(data_); }
  size_t bytes() const { return bytes_; }

 private:
  void* data_;
  size_t bytes_;
};

// The transitions (s, a, r, mask, s') of the last environment steps, each observation stored once: s' of a row is the
// observation of the row after it. Every environment writes a ring of its own, so neighbours in a ring belong together
// unless an episode ends between them; the final observation of an episode is a row without an action.
//
//     row      0    1    2    3    4    5
//     holds    s0   s1   s2*  s0'  s1'  s2'        * final observation: never sampled as s
//              a0   a1        a0'  a1'  (head)     head: the current observation, its action is still to come
class Replay {
 public:
  // Room for `capacity` transitions, shared equally by `environments` rings. Half a percent more rows hold the final
  // observations of episodes of 200 steps or more; shorter ones displace old transitions a little earlier.
  // Throws Error if a number is below 1 or a ring would be shorter than one transition.
  Replay(int environments, int64_t capacity, int observations, int actions);

  // The first observation [S] of an episode of `environment`.
  void begin_episode(int environment, std::span<const float> observation);
  // What followed the last observation of `environment`: the action [A] in [-1, 1], its reward, and the observation [S]
  // it led to, also if the episode is over. `terminated`: a true end, no value beyond it (mask 0); a recording may go on
  // all the same, past the success of a task.
  void append(int environment, std::span<const float> action, float reward, bool terminated, bool episode_over,
              std::span<const float> next_observation);

  // The whole data set into the ring of the first environment, before any of its episodes. Throws Error if it does not
  // fit or is of another task.
  void append(const DataSet& data);

  int64_t size() const;  // transitions held
  int64_t rows_written() const;  // ever, also those overwritten since: an episode's first observation, and one a step
  bool begun() const;            // every environment has begun an episode
  // Fills every row of `batch` with n = batch.reward.cols successive transitions of one ring, the first drawn uniformly
  // with replacement among those that n - 1 others follow: with their numbers, or, if the batch has `rows`, with where
  // they lie, mask and valid. What is drawn depends on the key and the transitions' number in each ring alone. Throws
  // Error if there is none.
  void sample(const kernels::RandomKey& key, const Batch& batch);
  // What `sample` will give after the next append to every environment, before them: false, and nothing is written, if
  // one of those transitions would be drawn. May run while the environments work on them.
  bool sample_ahead(const kernels::RandomKey& key, const Batch& batch);

  // ---- for one copy of the rows in other memory; all rings' rows are numbered one ring after the other ----
  struct Stretch {
    int64_t first, count;  // successive rows
  };
  int environments() const { return static_cast<int>(rings_.size()); }
  int64_t rows() const { return environments() * rows_; }
  int row_width() const { return observations_ + actions_ + 1; }
  void begin_copy();  // it has none of them yet
  // Rows written, or written anew, since they were last returned here: the next `most` or fewer; count 0: none is left.
  Stretch take_written(int64_t most);
  // Each of them to `to` as [observation, action, reward], `stride` numbers apart.
  void read(const Stretch& rows, int64_t stride, float* to) const;

  size_t bytes() const;  // reserved, also where not yet touched

  // The rows in use, by reference: the replay must not change until the file is written. load expects a file of a
  // replay made with the same numbers, else throws Error, also if a number in it is none that `save` writes.
  void save(SafetensorsWriter& file) const;
  void load(const SafetensorsFile& file);

 private:
  // What follows a row: nothing (the head or a final observation), a next state, one at which the episode ended, or a
  // true end after which the recording goes on. The numbers are part of the file format.
  enum class Follows : uint8_t { nothing, state, truncation, termination, success };

  struct Ring {
    LazyMemory observations, actions, rewards, follows;
    LazyMemory transitions;        // ring of the row numbers (uint32) that hold a transition, oldest first
    int64_t written = 0;           // rows ever written; the head is row (written - 1) % rows
    int64_t copied = 0;            // of them, those which the copy has as they are
    int64_t first = 0, count = 0;  // of `transitions`
    int64_t kept_first = 0, kept_count = 0;  // while looking ahead
  };

  static constexpr int64_t most_written = int64_t{1} << 53;  // more than a run of 1e12 steps writes

  // A ring as a file has it, checked.
  struct SavedRing {
    int64_t written;
    std::span<const float> observations, actions, rewards;
    std::span<const uint8_t> follows;
  };
  SavedRing saved_ring(const SafetensorsFile& file, size_t environment) const;

  int64_t head(const Ring& ring) const { return (ring.written - 1) % rows_; }
  void write_observation(Ring& ring, std::span<const float> observation);
  void displace_transition(Ring& ring, int64_t row);
  void index_transition(Ring& ring, int64_t row);
  static int64_t starts(const Ring& ring, int64_t steps);  // transitions that steps - 1 others follow
  void draw(const kernels::RandomKey& key, int64_t n, int64_t steps);
  void gather(const Batch& batch) const;

  int64_t rows_;  // of each ring
  int observations_, actions_;
  std::vector<Ring> rings_;
  std::vector<uint32_t> draws_;
};

}  // namespace meander
