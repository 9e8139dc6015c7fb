#include <meander/kernels/threads.h>

#include <atomic>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace meander::kernels {
namespace {

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("isb");
#endif
}

constexpr int spins = 4000;            // about 100 us, more than the gaps within an update; then the thread sleeps
constexpr int pieces_per_thread = 4;   // a thread that is late leaves its pieces to the others
thread_local bool inside_task = false;

// One job at a time, cut into numbered pieces that the threads claim. `state` is (job number, pieces, next piece) in
// one word, so that a thread that wakes late can never claim a piece of a job it has not read: its compare-exchange
// fails. Sleeping threads wait on `jobs`.
class Pool {
 public:
  Pool() { start(static_cast<int>(std::thread::hardware_concurrency())); }
  ~Pool() { stop(); }

  int size() const { return size_; }
  void resize(int count) {
    if (count == size_) return;
    stop();
    start(count);
  }

  void run(int64_t count, int64_t grain, RangeTask task, void* context) {
    const int64_t grains = (count + grain - 1) / grain;
    if (grains <= 1 || size_ == 1 || inside_task || busy_.exchange(true, std::memory_order_acquire)) {
      if (count > 0) task(context, 0, count);
      return;
    }
    const int64_t most = int64_t{pieces_per_thread} * size_;
    const uint32_t pieces = static_cast<uint32_t>(grains < most ? grains : most);
    task_.store(task, std::memory_order_relaxed);
    context_.store(context, std::memory_order_relaxed);
    count_.store(count, std::memory_order_relaxed);
    grain_.store(grain, std::memory_order_relaxed);
    done_.store(0, std::memory_order_relaxed);
    const uint32_t job = jobs_.load(std::memory_order_relaxed) + 1;
    state_.store(uint64_t{job} << 32 | uint64_t{pieces} << 16, std::memory_order_release);
    jobs_.store(job, std::memory_order_release);
    jobs_.notify_all();

    work();
    int spin = 0;
    for (uint32_t done; (done = done_.load(std::memory_order_acquire)) != pieces;) {
      if (++spin < spins) pause();
      else done_.wait(done, std::memory_order_acquire);
    }
    busy_.store(false, std::memory_order_release);
  }

 private:
  void start(int count) {
    size_ = count < 1 ? 1 : count > 1024 ? 1024 : count;
    stopping_.store(false, std::memory_order_relaxed);
    workers_.reserve(static_cast<size_t>(size_));
    for (int i = 1; i < size_; ++i) workers_.emplace_back([this] { loop(); });
  }
  void stop() {
    stopping_.store(true, std::memory_order_relaxed);
    jobs_.fetch_add(1, std::memory_order_release);
    jobs_.notify_all();
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
  }

  void loop() {
    uint32_t seen = 0;
    while (true) {
      uint32_t job = jobs_.load(std::memory_order_acquire);
      for (int spin = 0; job == seen; job = jobs_.load(std::memory_order_acquire)) {
        if (++spin < spins) pause();
        else jobs_.wait(seen, std::memory_order_acquire);
      }
      if (stopping_.load(std::memory_order_relaxed)) return;
      seen = job;
      work();
    }
  }

  // Claims and runs pieces of the current job until none is left.
  void work() {
    inside_task = true;
    uint64_t state = state_.load(std::memory_order_acquire);
    while (true) {
      const int64_t pieces = (state >> 16) & 0xffff, piece = state & 0xffff;
      if (piece >= pieces) break;
      const RangeTask task = task_.load(std::memory_order_relaxed);
      void* const context = context_.load(std::memory_order_relaxed);
      const int64_t count = count_.load(std::memory_order_relaxed), grain = grain_.load(std::memory_order_relaxed);
      if (!state_.compare_exchange_weak(state, state + 1, std::memory_order_acq_rel, std::memory_order_acquire))
        continue;
      const int64_t grains = (count + grain - 1) / grain;
      const int64_t begin = grains * piece / pieces * grain, end = grains * (piece + 1) / pieces * grain;
      task(context, begin, end < count ? end : count);
      if (done_.fetch_add(1, std::memory_order_acq_rel) + 1 == static_cast<uint32_t>(pieces)) done_.notify_all();
      state = state_.load(std::memory_order_acquire);
    }
    inside_task = false;
  }

  std::vector<std::thread> workers_;
  int size_ = 1;
  std::atomic<bool> busy_{false}, stopping_{false};
  std::atomic<uint32_t> jobs_{0}, done_{0};
  std::atomic<uint64_t> state_{0};
  std::atomic<RangeTask> task_{nullptr};
  std::atomic<void*> context_{nullptr};
  std::atomic<int64_t> count_{0}, grain_{1};
};

Pool& pool() {
  static Pool the_pool;
  return the_pool;
}

}  // namespace

int threads() { return pool().size(); }
void set_threads(int count) { pool().resize(count); }

void parallel_for(int64_t count, int64_t grain, RangeTask task, void* context) {
  if (count <= grain) {
    if (count > 0) task(context, 0, count);
    return;
  }
  pool().run(count, grain, task, context);
}

}  // namespace meander::kernels
