#include <meander/kernels/threads.h>

#include <sched.h>
#include <sys/resource.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "../folder.h"
#include "helpers.h"

using namespace meander::kernels;

namespace {

struct Restore {
  int count = threads();
  ~Restore() { set_threads(count); }
};

// A line of /proc/self/FILE that begins with the word: the number behind it.
int64_t own(const std::string& file, const std::string& word) {
  std::ifstream in("/proc/self/" + file);
  for (std::string line; std::getline(in, line);)
    if (line.starts_with(word)) return std::stoll(line.substr(word.size()));
  return -1;
}
int64_t running_threads() { return own("status", "Threads:"); }

int64_t sum_of(int64_t count) {
  std::atomic<int64_t> sum{0};
  parallel_for(count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) sum += i;
  });
  return sum;
}

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

// Protects limits on threads: none is started before there is work for it, nor more than were asked for.
TEST_CASE("threads are started by the first work for them, as many as asked for") {
  const Restore restore;
  set_threads(1);
  const int64_t before = running_threads();
  CHECK(sum_of(1000) == 499500);
  CHECK(running_threads() == before);
  set_threads(5);
  CHECK(running_threads() == before);
  CHECK(sum_of(1000) == 499500);
  CHECK(running_threads() == before + 4);
  set_threads(2);
  CHECK(sum_of(1000) == 499500);
  CHECK(running_threads() == before + 1);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // these need address space themselves
TEST_CASE("where the system refuses threads the work is done by fewer") {
  const Restore restore;
  set_threads(1);
  const int64_t before = running_threads();
  rlimit limit{};
  getrlimit(RLIMIT_AS, &limit);
  const int64_t half_a_stack = 4 << 20;
  const rlimit tight = {static_cast<rlim_t>(own("status", "VmSize:") * 1024 + half_a_stack), limit.rlim_max};
  setrlimit(RLIMIT_AS, &tight);
  rlimit now{};
  getrlimit(RLIMIT_AS, &now);
  if (now.rlim_cur != tight.rlim_cur) return;   // an emulator of other processors takes no such limit
  set_threads(200);
  const int64_t sum = sum_of(100'000), started = running_threads() - before;
  setrlimit(RLIMIT_AS, &limit);
  CHECK(sum == 4'999'950'000);
  CHECK(started < 199);
  CHECK(sum_of(100'000) == 4'999'950'000);
}
#endif

TEST_CASE("by default there are as many threads as processors for this process, and no more than its quota") {
  const meander::Folder folder;
  const auto file = [&](const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(folder.path() + path).parent_path());
    meander::write_text(folder.path() + path, text);
  };
  cpu_set_t allowed, one;
  REQUIRE(sched_getaffinity(0, sizeof allowed, &allowed) == 0);
  CHECK(default_threads(folder.path()) == CPU_COUNT(&allowed));
  file("/proc/self/cgroup", "0::/job\n");
  file("/proc/self/mountinfo", "31 20 0:6 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  file("/sys/fs/cgroup/job/cpu.max", "199000 100000\n");
  CHECK(default_threads(folder.path()) == 1);
  file("/sys/fs/cgroup/job/cpu.max", "10000 100000\n");  // a tenth of one
  CHECK(default_threads(folder.path()) == 1);
  file("/sys/fs/cgroup/job/cpu.max", "100000000 100000\n");
  CHECK(default_threads(folder.path()) == CPU_COUNT(&allowed));
  CPU_ZERO(&one);
  for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++i)
    if (CPU_ISSET(i, &allowed)) CPU_SET(i, &one);
  REQUIRE(sched_setaffinity(0, sizeof one, &one) == 0);
  CHECK(default_threads(folder.path()) == 1);
  CHECK(sched_setaffinity(0, sizeof allowed, &allowed) == 0);
}
