// Protects what the program believes of the machine: the memory and the processors it may use, from made-up trees of
// /proc and /sys as Linux shows them.
#include <meander/core/memory_available.h>

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>

#include <meander/kernels/control_groups.h>

#include "../folder.h"

using namespace meander;

namespace {

// A tree of files below a folder of its own.
struct Tree {
  Folder folder;
  const std::string& root() const { return folder.path(); }
  void file(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root() + path).parent_path());
    write_text(root() + path, text);
  }
};

// As systemd lays it out: one hierarchy, the job's group within one of the user's.
void version_2(Tree& tree) {
  tree.file("/proc/self/cgroup", "0::/user/job 1\n");
  tree.file("/proc/self/mountinfo", "20 1 0:5 / / rw - ext4 /dev/sda rw\n"
                                    "31 20 0:6 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw\n");
}
// As older systems do: one hierarchy a controller, and here a container's own group is the top of what it sees.
void version_1(Tree& tree) {
  tree.file("/proc/self/cgroup", "4:memory:/docker/a\n2:cpu,cpuacct:/docker/a/b\n1:name=systemd:/\n0::/\n");
  tree.file("/proc/self/mountinfo",
            "32 31 0:7 /docker/a /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpuacct,cpu\n"
            "33 31 0:8 /docker/a /sys/fs/cgroup/memory\\0401 rw - cgroup cgroup rw,memory\n"
            "34 31 0:9 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
}

}  // namespace

TEST_CASE("a quota of processors is the least of the group's own and of those above") {
  Tree two;
  CHECK(std::isinf(kernels::processor_quota(two.root())));  // no control groups
  version_2(two);
  CHECK(std::isinf(kernels::processor_quota(two.root())));  // none that says anything
  two.file("/sys/fs/cgroup/user/job 1/cpu.max", "max 100000\n");
  CHECK(std::isinf(kernels::processor_quota(two.root())));
  two.file("/sys/fs/cgroup/user/cpu.max", "150000 100000\n");
  CHECK(kernels::processor_quota(two.root()) == 1.5);
  two.file("/sys/fs/cgroup/user/job 1/cpu.max", "50000 100000\n");
  CHECK(kernels::processor_quota(two.root()) == 0.5);

  Tree one;
  version_1(one);
  one.file("/sys/fs/cgroup/cpu,cpuacct/b/cpu.cfs_period_us", "100000\n");
  one.file("/sys/fs/cgroup/cpu,cpuacct/b/cpu.cfs_quota_us", "-1\n");
  CHECK(std::isinf(kernels::processor_quota(one.root())));
  one.file("/sys/fs/cgroup/cpu,cpuacct/b/cpu.cfs_quota_us", "200000\n");
  CHECK(kernels::processor_quota(one.root()) == 2);
}

TEST_CASE("memory available: what the system has, or what the control groups leave if that is less") {
  Tree two;
  two.file("/proc/meminfo", "MemTotal: 8000 kB\nMemFree: 10 kB\nMemAvailable:    4000 kB\n");
  CHECK(memory_available(two.root()) == 4000 * 1024);
  version_2(two);
  two.file("/sys/fs/cgroup/user/job 1/memory.max", "max\n");
  two.file("/sys/fs/cgroup/user/job 1/memory.current", "700\n");
  CHECK(memory_available(two.root()) == 4000 * 1024);
  two.file("/sys/fs/cgroup/user/memory.max", "1000\n");
  two.file("/sys/fs/cgroup/user/memory.current", "900\n");
  two.file("/sys/fs/cgroup/user/memory.stat", "anon 500\ninactive_file 300\nactive_file 100\n");
  CHECK(memory_available(two.root()) == 400);
  two.file("/sys/fs/cgroup/user/memory.current", "2000\n");  // a limit that was lowered
  CHECK(memory_available(two.root()) == 0);

  Tree one;
  version_1(one);
  one.file("/proc/meminfo", "MemAvailable: 4000 kB\n");
  one.file("/sys/fs/cgroup/memory 1/memory.usage_in_bytes", "1000\n");
  one.file("/sys/fs/cgroup/memory 1/memory.limit_in_bytes", "9223372036854771712\n");
  CHECK(memory_available(one.root()) == 4000 * 1024);
  one.file("/sys/fs/cgroup/memory 1/memory.limit_in_bytes", "3000\n");
  one.file("/sys/fs/cgroup/memory 1/memory.stat", "inactive_file 1\ntotal_inactive_file 500\n");
  CHECK(memory_available(one.root()) == 2500);
}

TEST_CASE("memory available: a limit on address space counts, less what is mapped") {
  Tree tree;
  tree.file("/proc/meminfo", "MemAvailable: 4000000000 kB\n");
  tree.file("/proc/self/statm", "1000 10 1 1 0 1 0\n");
  rlimit before{};
  getrlimit(RLIMIT_AS, &before);
  rlimit lower = before;
  lower.rlim_cur = std::size_t{1} << 40;
  setrlimit(RLIMIT_AS, &lower);
  rlimit now{};
  getrlimit(RLIMIT_AS, &now);
  if (now.rlim_cur != lower.rlim_cur) return;   // an emulator of other processors takes no such limit
  const std::size_t available = memory_available(tree.root());
  setrlimit(RLIMIT_AS, &before);
  CHECK(available == (std::size_t{1} << 40) - 1000 * static_cast<std::size_t>(sysconf(_SC_PAGESIZE)));
}

TEST_CASE("this machine has some memory") {
  CHECK(memory_available() > 1 << 20);
  CHECK(memory_available() < std::size_t{1} << 50);
}
