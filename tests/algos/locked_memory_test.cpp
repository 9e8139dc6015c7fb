// Protects control loops with locked memory: where every page must stay in memory (mlockall) and 16 MB of it are
// allowed, or as little of that as this machine allows its users, agents of every algorithm act.
#include <doctest/doctest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <exception>

#include <meander/core/arena.h>
#include <meander/kernels/threads.h>

#include "small_agents.h"

using namespace meander;
using namespace meander::testing;

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // these map terabytes

namespace {

// In a process of its own, without root's right to lock more than the limit.
int act_with_locked_memory() {
  rlimit limit{};
  getrlimit(RLIMIT_MEMLOCK, &limit);
  limit.rlim_cur = std::min<rlim_t>(16 << 20, limit.rlim_max);
  setrlimit(RLIMIT_MEMLOCK, &limit);
  if (geteuid() == 0 && setuid(65534) != 0) return 3;
  if (mlockall(MCL_FUTURE) != 0) return 4;
  if (mmap(nullptr, 32 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED) return 5;  // no limit
  try {
    kernels::set_threads(4);  // as many as the limit has stacks for
    for (const std::string& name : algorithm_names()) {
      const Made made = make(name, 1);
      std::vector<float> state(S, 0.3f), action(static_cast<size_t>(made.agent->chunk() * A));
      for (uint64_t step = 1; step <= 20; ++step) made.agent->act(state, step, action);
    }
    if (Arena().allocate(100) == nullptr) return 6;
  } catch (const std::exception&) {
    return 1;
  }
  return 0;
}

}  // namespace

TEST_CASE("agents act where memory is locked and 16 MB are allowed") {
  const pid_t child = fork();
  if (child == 0) _exit(act_with_locked_memory());
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}
#endif
