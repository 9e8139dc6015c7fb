#include "emulator.h"

#include <sys/wait.h>
#include <unistd.h>

#include <meander/kernels/cuda/devices.h>
#include <meander/kernels/cuda/emulator/memory.h>

// Bugs that the emulator does not look for itself but shows to a sanitizer. They end the program: each such bug is a case
// of its own, skipped but where this program starts itself for that case.
namespace meander::kernels::emulated {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

namespace {

// Runs one skipped case of this program: what it prints, and whether it failed.
struct Run {
  std::string output;
  bool failed;
};
Run run_case(const std::string& name) {
  int pipe[2];
  REQUIRE(::pipe(pipe) == 0);
  const std::string filter = "-tc=" + name;
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::dup2(pipe[1], STDOUT_FILENO);
    ::dup2(pipe[1], STDERR_FILENO);
    ::close(pipe[0]);
    ::execl("/proc/self/exe", "test_cuda", filter.c_str(), "--no-skip", static_cast<char*>(nullptr));
    ::_exit(0);
  }
  ::close(pipe[1]);
  Run run;
  char text[4096];
  for (ssize_t n; (n = ::read(pipe[0], text, sizeof text)) > 0;) run.output.append(text, static_cast<size_t>(n));
  ::close(pipe[0]);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  run.failed = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
  return run;
}

}  // namespace

#endif

#if defined(__SANITIZE_ADDRESS__)

namespace {

__global__ void write_dynamic(unsigned at) { shared_memory<float>()[at] = 1; }
__global__ void write_static(unsigned at) {
  MEANDER_SHARED(float, here, 5);
  here[at] = 1;
}
__global__ void write_global(float* y, unsigned at) { y[at] = 1; }
__global__ void write_local(unsigned at) {
  float here[4] = {};
  volatile float* p = here;
  p[at] = 1;
}

}  // namespace

TEST_CASE("planted: dynamic shared memory" * doctest::skip()) { launch(write_dynamic, 1, 1, 5 * sizeof(float), 5u); }
TEST_CASE("planted: static shared memory" * doctest::skip()) { launch(write_static, 1, 1, 0, 5u); }
TEST_CASE("planted: global memory" * doctest::skip()) {
  const Memory<float> y(5);
  launch(write_global, 1, 1, 0, y.data, 5u);
}
TEST_CASE("planted: memory of a thread" * doctest::skip()) { launch(write_local, 1, 1, 0, 4u); }

// Calls that say they read x and write y, 4 floats each, and do something else.
template <class Work>
static void call_that_says_otherwise(Work work) {
  register_device(Device::cuda_emulated, find);
  const Memory<float> x(4), y(4);
  Accesses accesses(*device_kernels(Device::cuda_emulated));
  accesses(4, static_cast<const float*>(x.data), y.data);
  const Opened opened(accesses);
  work(x.data, y.data);
}
TEST_CASE("planted: a call reads what it does not say" * doctest::skip()) {
  const Memory<float> z(4);
  call_that_says_otherwise([&](float*, float* y) { copy(y, z.data, sizeof(float)); });
}
TEST_CASE("planted: a call writes what it does not say" * doctest::skip()) {
  const Memory<float> z(4);
  call_that_says_otherwise([&](float*, float*) { launch(write_global, 1, 1, 0, z.data, 0u); });
}
TEST_CASE("planted: a call writes what it says it reads" * doctest::skip()) {
  call_that_says_otherwise([&](float* x, float*) { launch(write_global, 1, 1, 0, x, 3u); });
}

// Protects what recorded updates wait by: under this sanitizer each call of the emulated device, in all tests, is held to
// what kernels/accesses.h says it touches.
TEST_CASE("the address sanitizer sees a call touch what it does not say") {
  call_that_says_otherwise([](float* x, float* y) {
    copy(y, x, 2 * sizeof(float));
    launch(write_global, 1, 1, 0, y, 3u);
  });   // here it must not
  for (const std::string name : {"planted: a call reads what it does not say",
                                 "planted: a call writes what it does not say"}) {
    CAPTURE(name);
    const Run run = run_case(name);
    CHECK(run.failed);
    CHECK(has(run.output, "AddressSanitizer"));
  }
  const Run run = run_case("planted: a call writes what it says it reads");
  CHECK(run.failed);
  CHECK(has(run.output, "a call wrote to memory that it is said to read only"));
}

TEST_CASE("the address sanitizer sees a kernel write beyond an array") {
  const Memory<float> y(5);
  CHECK(report(write_dynamic, 1, 5 * sizeof(float), 4u) == "");
  CHECK(report(write_static, 1, 0, 4u) == "");
  CHECK(report(write_global, 1, 0, y.data, 4u) == "");
  CHECK(report(write_local, 1, 0, 3u) == "");
  for (const std::string name : {"planted: dynamic shared memory", "planted: static shared memory",
                                 "planted: global memory", "planted: memory of a thread"}) {
    CAPTURE(name);
    const Run run = run_case(name);
    CHECK(run.failed);
    CHECK(has(run.output, "AddressSanitizer"));
  }
}

#endif

#if defined(__SANITIZE_THREAD__)

namespace {

// Each thread reads what its neighbour wrote, with a barrier before, and after where the numbers change again.
__global__ void pass_on(float* y, bool before, bool after) {
  MEANDER_SHARED(float, here, 64);
  here[threadIdx.x] = 1;
  if (before) __syncthreads();
  const float next = here[(threadIdx.x + 1) % 64];
  if (after) __syncthreads();
  here[threadIdx.x] = next + 1;
  y[threadIdx.x] = next;
}
// The same with a copy, which the thread that asked for it has waited for, and nobody else.
__global__ void fetch_for_all(const float* x, float* y, bool barrier) {
  float* const here = shared_memory<float>();
  copy_async4(here + threadIdx.x, x + threadIdx.x);
  copy_async_commit();
  copy_async_wait<0>();
  if (barrier) __syncthreads();
  y[threadIdx.x] = here[(threadIdx.x + 1) % 64];
}
__global__ void within_warp(float* y, bool barrier) {
  MEANDER_SHARED(float, here, 32);
  here[threadIdx.x] = 1;
  if (barrier) __syncwarp();
  y[threadIdx.x] = here[31 - threadIdx.x];
}
__global__ void all_store(float* y) { y[0] = 1; }

}  // namespace

TEST_CASE("planted: no barrier before" * doctest::skip()) {
  launch(pass_on, 1, 64, 0, Memory<float>(64).data, false, true);
}
TEST_CASE("planted: no barrier after" * doctest::skip()) {
  launch(pass_on, 1, 64, 0, Memory<float>(64).data, true, false);
}
TEST_CASE("planted: no barrier after a copy" * doctest::skip()) {
  launch(fetch_for_all, 1, 64, 64 * sizeof(float), Memory<float>(64).data, Memory<float>(64).data, false);
}
TEST_CASE("planted: no barrier in a warp" * doctest::skip()) {
  launch(within_warp, 1, 32, 0, Memory<float>(32).data, false);
}
TEST_CASE("planted: no barrier in a grid" * doctest::skip()) {
  launch_together(hand_on, 2, 32, 0, Memory<int>(2).data, Memory<uint32_t>(1).data, false);
}
TEST_CASE("planted: two threads store to one place" * doctest::skip()) {
  launch(all_store, 1, 2, 0, Memory<float>(1).data);
}

TEST_CASE("the thread sanitizer sees a missing barrier") {
  const Memory<float> x(64), y(64);
  CHECK(report(pass_on, 64, 0, y.data, true, true) == "");   // here it must not see one
  CHECK(report(fetch_for_all, 64, 64 * sizeof(float), x.data, y.data, true) == "");
  CHECK(report(within_warp, 32, 0, y.data, true) == "");
  CHECK(report_together(hand_on, 2, 32, Memory<int>(2).data, Memory<uint32_t>(1).data, true) == "");
  for (const std::string name : {"planted: no barrier before", "planted: no barrier after",
                                 "planted: no barrier after a copy", "planted: no barrier in a warp",
                                 "planted: no barrier in a grid",
                                 "planted: two threads store to one place"}) {
    CAPTURE(name);
    const Run run = run_case(name);
    CHECK(run.failed);
    CHECK(has(run.output, "data race"));
  }
}

#endif

}  // namespace meander::kernels::emulated
