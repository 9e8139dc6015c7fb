#include <meander/kernels/threads.h>

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <iterator>
#include <memory>
#include <system_error>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <meander/kernels/control_groups.h>

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
constexpr int most_threads = 1024;
constexpr int pieces_per_thread = 4;   // a thread that is late leaves its pieces to the others
thread_local bool inside_task = false;

// The processors the scheduler may give this process (taskset, cpusets); those of the machine if it cannot be asked.
int allowed_processors() {
  for (int count = 1024; count <= 1 << 20; count *= 2) {  // the kernel refuses a set smaller than its own
    const std::unique_ptr<cpu_set_t, void (*)(cpu_set_t*)> set(CPU_ALLOC(count), [](cpu_set_t* s) { CPU_FREE(s); });
    const size_t size = CPU_ALLOC_SIZE(count);
    if (set && sched_getaffinity(0, size, set.get()) == 0) return CPU_COUNT_S(size, set.get());
  }
  return static_cast<int>(std::thread::hardware_concurrency());
}

// One job at a time, cut into numbered pieces that the threads claim. `state` is (job number, pieces, next piece) in
// one word, so that a thread that wakes late can never claim a piece of a job it has not read: its compare-exchange
// fails. Sleeping threads wait on `jobs`.
class Pool {
 public:
  Pool() { resize(default_threads()); }
  ~Pool() { stop(); }

  int size() const { return size_; }
  void resize(int count) {
    stop();
    size_ = std::clamp(count, 1, most_threads);
  }

  void run(int64_t count, int64_t grain, RangeTask task, void* context) {
    const int64_t grains = (count + grain - 1) / grain;
    if (grains <= 1 || size_ == 1 || inside_task || busy_.exchange(true, std::memory_order_acquire)) {
      if (count > 0) task(context, 0, count);
      return;
    }
    hire();
    const int64_t most = int64_t{pieces_per_thread} * (std::ssize(workers_) + 1);
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
  // Starts the workers when there is work for the first time: fewer where the system refuses them.
  void hire() {
    if (hired_) return;
    hired_ = true;
    workers_.reserve(static_cast<size_t>(size_ - 1));
    try {
      while (std::ssize(workers_) < size_ - 1) workers_.emplace_back([this] { loop(); });
    } catch (const std::system_error&) {
    }
  }
  void stop() {
    stopping_.store(true, std::memory_order_relaxed);
    jobs_.fetch_add(1, std::memory_order_release);
    jobs_.notify_all();
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
    stopping_.store(false, std::memory_order_relaxed);
    hired_ = false;
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
  int size_ = 1;        // as asked for
  bool hired_ = false;  // by whoever is `busy_`
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

int default_threads(const std::string& root) {
  const double most = std::min(allowed_processors(), most_threads);
  return static_cast<int>(std::clamp(std::floor(processor_quota(root)), 1.0, most));
}

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
