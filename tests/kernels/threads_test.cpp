#include <meander/kernels/threads.h>

#include <atomic>
#include <thread>

#include "helpers.h"

using namespace meander::kernels;

namespace {

struct Restore {
  int count = threads();
  ~Restore() { set_threads(count); }
};

}  // namespace

// Protects the contract of parallel_for: each index once, bounds on the grain, whatever the number of threads.
TEST_CASE("every index is visited exactly once") {
  const Restore restore;
  for (int count : {1, 2, 3, 8}) {
    set_threads(count);
    CHECK(threads() == count);
    for (int64_t n : {0, 1, 5, 64, 1000, 12345})
      for (int64_t grain : {1, 7, 64, 20000}) {
        std::vector<int> visits(static_cast<size_t>(n));  // plain ints: the thread sanitizer sees an overlap
        std::atomic<bool> aligned{true};
        parallel_for(n, grain, [&](int64_t begin, int64_t end) {
          if (begin % grain || (end % grain && end != n) || begin >= end) aligned = false;
          for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
        });
        CHECK(aligned);
        CHECK(std::all_of(visits.begin(), visits.end(), [](int v) { return v == 1; }));
      }
  }
}

// Protects jobs in quick succession from a thread that wakes late: what a job writes is there when it returns, and no
// piece of an earlier job runs later.
TEST_CASE("many short jobs one after another") {
  const Restore restore;
  set_threads(3);
  int64_t cells[8] = {};
  for (int64_t round = 1; round <= 20000; ++round) {
    parallel_for(8, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) cells[i] += round;
    });
    if (round % 5000 == 0)
      for (int64_t cell : cells) REQUIRE(cell == round * (round + 1) / 2);
  }
}

// Protects nested and concurrent use, which must run inline instead of waiting for itself.
TEST_CASE("nested calls and calls from two threads") {
  const Restore restore;
  set_threads(2);
  std::atomic<int64_t> sum{0};
  const auto work = [&] {
    for (int round = 0; round < 200; ++round)
      parallel_for(16, 1, [&](int64_t begin, int64_t end) {
        parallel_for(end - begin, 1, [&](int64_t b, int64_t e) { sum += e - b; });
      });
  };
  std::thread other(work);
  work();
  other.join();
  CHECK(sum == 2 * 200 * 16);
}

// Protects set_threads: workers stop and start without losing a job.
TEST_CASE("the number of threads can change between jobs") {
  const Restore restore;
  for (int round = 0; round < 20; ++round) {
    set_threads(1 + round % 4);
    std::atomic<int64_t> sum{0};
    parallel_for(1000, 10, [&](int64_t begin, int64_t end) { sum += end - begin; });
    CHECK(sum == 1000);
  }
}
