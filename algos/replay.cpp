#include <meander/algos/replay.h>

#include <sys/mman.h>

#include <algorithm>
#include <cassert>
#include <utility>

#include <meander/core/file_numbers.h>
#include <meander/kernels/error.h>
#include <meander/kernels/arrays.h>

namespace meander {

// ---- lazy memory ----------------------------------------------------------------------------------------------------

LazyMemory::LazyMemory(size_t bytes) : bytes_(bytes) {
  data_ = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data_ == MAP_FAILED) throw Failure(message("cannot reserve ", bytes, " bytes of memory for the replay"));
}

LazyMemory::~LazyMemory() {
  if (data_) munmap(data_, bytes_);
}

LazyMemory::LazyMemory(LazyMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

// ---- writing --------------------------------------------------------------------------------------------------------

Replay::Replay(int environments, int64_t capacity, int observations, int actions)
    : observations_(observations), actions_(actions) {
  if (environments < 1 || observations < 1 || actions < 1 || capacity < environments || capacity > 1'000'000'000)
    throw Error(message("replay: expected at least one environment, observation and action and between ", environments,
                        " and 1e9 transitions, got ", environments, ", ", observations, ", ", actions, " and ",
                        capacity));
  const int64_t share = capacity / environments;
  rows_ = share + share / 200 + 1;  // one for the head
  const size_t rows = static_cast<size_t>(rows_);
  rings_.reserve(static_cast<size_t>(environments));
  for (int e = 0; e < environments; ++e)
    rings_.push_back({LazyMemory(rows * observations * sizeof(float)), LazyMemory(rows * actions * sizeof(float)),
                      LazyMemory(rows * sizeof(float)), LazyMemory(rows * sizeof(Follows)),
                      LazyMemory(rows * sizeof(uint32_t))});
}

void Replay::begin_episode(int environment, std::span<const float> observation) {
  write_observation(rings_.at(environment), observation);
}

void Replay::append(int environment, std::span<const float> action, float reward, bool terminated, bool episode_over,
                    std::span<const float> next_observation) {
  Ring& ring = rings_.at(environment);
  assert(ring.written > 0 && std::ssize(action) == actions_);
  const int64_t row = head(ring);
  ring.copied = std::min(ring.copied, ring.written - 1);  // perhaps copied without its action
  std::copy(action.begin(), action.end(), ring.actions.as<float>() + row * actions_);
  ring.rewards.as<float>()[row] = reward;
  // The next observation first: in the shortest ring it displaces the oldest transition before the new one is counted.
  write_observation(ring, next_observation);
  ring.follows.as<Follows>()[row] = episode_over ? (terminated ? Follows::termination : Follows::truncation)
                                                 : (terminated ? Follows::success : Follows::state);
  index_transition(ring, row);
}

void Replay::append(const DataSet& data) {
  if (data.observations != observations_ || data.actions != actions_)
    throw Error(message("the data set has ", data.observations, " observations and ", data.actions,
                        " actions, the task ", observations_, " and ", actions_));
  if (data.rows() >= rows_)
    throw Error(message("the data set has ", data.rows(), " rows, a replay for so many environments holds ", rows_ - 1,
                        " (see replay_capacity)"));
  const auto observation = [&](int64_t row) {
    return std::span(data.observation).subspan(row * observations_, observations_);
  };
  for (int64_t row = 0; row < data.rows(); ++row) {
    if (data.terminal[row]) continue;  // an episode of nothing else is none
    if (row == 0 || data.terminal[row - 1]) begin_episode(0, observation(row));
    append(0, std::span(data.action).subspan(row * actions_, actions_), data.reward[row], data.mask[row] == 0,
           data.terminal[row + 1] != 0, observation(row + 1));
  }
}

void Replay::write_observation(Ring& ring, std::span<const float> observation) {
  assert(std::ssize(observation) == observations_);
  const int64_t row = ring.written++ % rows_;
  displace_transition(ring, row);
  std::copy(observation.begin(), observation.end(), ring.observations.as<float>() + row * observations_);
  ring.follows.as<Follows>()[row] = Follows::nothing;
}

// The row is written anew: the oldest transition goes if it is the one there.
void Replay::displace_transition(Ring& ring, int64_t row) {
  if (ring.count == 0 || ring.transitions.as<uint32_t>()[ring.first] != row) return;
  ring.first = (ring.first + 1) % rows_;
  --ring.count;
}

void Replay::index_transition(Ring& ring, int64_t row) {
  ring.transitions.as<uint32_t>()[(ring.first + ring.count) % rows_] = static_cast<uint32_t>(row);
  ++ring.count;
}

// ---- sampling -------------------------------------------------------------------------------------------------------

int64_t Replay::size() const {
  int64_t total = 0;
  for (const Ring& ring : rings_) total += ring.count;
  return total;
}

int64_t Replay::rows_written() const {
  int64_t total = 0;
  for (const Ring& ring : rings_) total += ring.written;
  return total;
}

bool Replay::begun() const {
  return std::ranges::all_of(rings_, [](const Ring& ring) { return ring.written > 0; });
}

int64_t Replay::starts(const Ring& ring, int64_t steps) { return std::max<int64_t>(0, ring.count - (steps - 1)); }

void Replay::sample(const kernels::RandomKey& key, const Batch& batch) {
  draw(key, batch.state.rows, batch.reward.cols);
  gather(batch);
}

bool Replay::sample_ahead(const kernels::RandomKey& key, const Batch& batch) {
  const int64_t steps = batch.reward.cols;
  for (Ring& ring : rings_) {
    ring.kept_first = ring.first, ring.kept_count = ring.count;
    displace_transition(ring, ring.written % rows_);
    index_transition(ring, head(ring));
  }
  draw(key, batch.state.rows, steps);
  // Only the last start of a ring reaches its newest transition.
  bool known = true;
  int64_t end = 0;
  for (const Ring& ring : rings_) {
    const int64_t n = starts(ring, steps);
    end += n;
    known = known && (n == 0 || std::find(draws_.begin(), draws_.end(), static_cast<uint32_t>(end - 1)) == draws_.end());
  }
  if (known) gather(batch);
  for (Ring& ring : rings_) ring.first = ring.kept_first, ring.count = ring.kept_count;
  return known;
}

void Replay::draw(const kernels::RandomKey& key, int64_t n, int64_t steps) {
  int64_t total = 0;
  for (const Ring& ring : rings_) total += starts(ring, steps);
  if (total == 0)
    throw Error(message("replay: nothing to sample from: of ", steps, " successive transitions wanted, ", size(),
                        " have been stored (see start_steps)"));
  draws_.resize(static_cast<size_t>(n));
  kernels::philox_index(key, n, static_cast<uint32_t>(total), draws_.data());
}

void Replay::gather(const Batch& batch) const {
  const int64_t steps = batch.reward.cols, chunk = batch.action.cols / actions_;
  for (int64_t i = 0; i < std::ssize(draws_); ++i) {
    // The draw counts through the starts of the first ring, then of the second, and so on.
    int64_t start = draws_[i];
    const Ring* ring = rings_.data();
    for (; start >= starts(*ring, steps); ++ring) start -= starts(*ring, steps);
    const float* observations = ring->observations.as<float>();
    const int64_t first_row = (ring - rings_.data()) * rows_;
    uint32_t* const rows = batch.rows ? batch.rows.as<uint32_t>() + i * (steps + 1) : nullptr;
    float mask = 1, valid = 1;
    for (int64_t k = 0; k < steps; ++k) {
      const int64_t row = ring->transitions.as<uint32_t>()[(ring->first + start + k) % rows_];
      const int64_t next_row = (row + 1) % rows_;
      const Follows follows = ring->follows.as<Follows>()[row];
      if (rows) {
        rows[k] = static_cast<uint32_t>(first_row + row);
        rows[k + 1] = static_cast<uint32_t>(first_row + next_row);  // unless another step follows
      } else {
        if (k == 0)
          kernels::copy_row(observations + row * observations_, observations_, batch.state.f32() + i * observations_);
        if (k < chunk)
          kernels::copy_row(ring->actions.as<float>() + row * actions_, actions_,
                            batch.action.f32() + (i * chunk + k) * actions_);
        if (k + 1 == steps)
          kernels::copy_row(observations + next_row * observations_, observations_,
                            batch.next_state.f32() + i * observations_);
        batch.reward.f32()[i * steps + k] = ring->rewards.as<float>()[row];
      }
      batch.valid.f32()[i * steps + k] = valid;
      if (follows == Follows::termination || follows == Follows::success) mask = 0;
      if (follows == Follows::termination || follows == Follows::truncation) valid = 0;
    }
    batch.mask.f32()[i] = mask;
  }
}

// ---- a copy of the rows ---------------------------------------------------------------------------------------------

void Replay::begin_copy() {
  for (Ring& ring : rings_) ring.copied = 0;
}

Replay::Stretch Replay::take_written(int64_t most) {
  for (size_t e = 0; e < rings_.size(); ++e) {
    Ring& ring = rings_[e];
    const int64_t from = std::max(ring.copied, ring.written - rows_);
    if (from == ring.written) continue;
    const int64_t row = from % rows_, count = std::min({most, ring.written - from, rows_ - row});
    ring.copied = from + count;
    return {static_cast<int64_t>(e) * rows_ + row, count};
  }
  return {};
}

void Replay::read(const Stretch& rows, int64_t stride, float* to) const {
  const Ring& ring = rings_[static_cast<size_t>(rows.first / rows_)];
  for (int64_t row = rows.first % rows_, end = row + rows.count; row < end; ++row, to += stride) {
    kernels::copy_row(ring.observations.as<float>() + row * observations_, observations_, to);
    kernels::copy_row(ring.actions.as<float>() + row * actions_, actions_, to + observations_);
    to[observations_ + actions_] = ring.rewards.as<float>()[row];
  }
}

size_t Replay::bytes() const {
  size_t total = 0;
  for (const Ring& r : rings_)
    total += r.observations.bytes() + r.actions.bytes() + r.rewards.bytes() + r.follows.bytes() + r.transitions.bytes();
  return total;
}

// ---- files ----------------------------------------------------------------------------------------------------------

void Replay::save(SafetensorsWriter& file) const {
  file.metadata("replay.rows", message(rows_));
  for (size_t e = 0; e < rings_.size(); ++e) {
    const Ring& ring = rings_[e];
    const std::string prefix = message("replay.", e, ".");
    const int64_t used = std::min(ring.written, rows_);
    file.metadata(prefix + "written", message(ring.written));
    file.add(prefix + "observations", {used, observations_}, ring.observations.as<float>());
    file.add(prefix + "actions", {used, actions_}, ring.actions.as<float>());
    file.add(prefix + "rewards", {used}, ring.rewards.as<float>());
    file.add(prefix + "follows", {used}, ring.follows.as<uint8_t>());
  }
}

// Every ring is checked before the first one changes.
void Replay::load(const SafetensorsFile& file) {
  const int64_t rows = whole_metadata(file, "replay.rows", 1, most_written);
  if (rows != rows_)
    throw Error(message(file.path(), ": expected a replay of ", rows_, " rows, got ", rows,
                        " (resume with the same replay_capacity)"));
  std::vector<SavedRing> saved;
  for (size_t e = 0; e < rings_.size(); ++e) saved.push_back(saved_ring(file, e));
  for (size_t e = 0; e < rings_.size(); ++e) {
    Ring& ring = rings_[e];
    const SavedRing& from = saved[e];
    std::ranges::copy(from.observations, ring.observations.as<float>());
    std::ranges::copy(from.actions, ring.actions.as<float>());
    std::ranges::copy(from.rewards, ring.rewards.as<float>());
    std::ranges::copy(from.follows, ring.follows.as<uint8_t>());
    ring.written = from.written;
    ring.first = ring.count = ring.copied = 0;
    for (int64_t k = from.written - std::ssize(from.follows); k < from.written; ++k)  // oldest to newest
      if (from.follows[k % rows_] != static_cast<uint8_t>(Follows::nothing)) index_transition(ring, k % rows_);
  }
}

Replay::SavedRing Replay::saved_ring(const SafetensorsFile& file, size_t environment) const {
  const std::string prefix = message("replay.", environment, ".");
  const auto named = [&](const char* name) { return message(file.path(), ": tensor ", prefix, name); };
  SavedRing ring;
  ring.written = whole_metadata(file, prefix + "written", 0, most_written);
  const int64_t used = std::min(ring.written, rows_);
  ring.observations = file.values<float>(prefix + "observations", used * observations_);
  ring.actions = file.values<float>(prefix + "actions", used * actions_);
  ring.rewards = file.values<float>(prefix + "rewards", used);
  ring.follows = file.values<uint8_t>(prefix + "follows", used);
  expect_finite(named("observations"), ring.observations);
  expect_within(named("actions"), ring.actions, largest_action);
  expect_finite(named("rewards"), ring.rewards);
  // In the order of writing: nothing follows the final observations, which come after the ends, and the head.
  bool after_end = ring.written > rows_ && ring.follows[ring.written % rows_] == 0;  // what was before is gone
  for (int64_t k = ring.written - used; k < ring.written; ++k) {
    const auto follows = static_cast<Follows>(ring.follows[k % rows_]);
    const bool nothing = follows == Follows::nothing, head = k + 1 == ring.written;
    if (follows > Follows::success || (head ? !nothing : nothing != after_end))
      throw Error(message(named("follows"), ": row ", k % rows_, " holds ", int{ring.follows[k % rows_]},
                          ", the file is damaged"));
    after_end = follows == Follows::truncation || follows == Follows::termination;
  }
  return ring;
}

}  // namespace meander
