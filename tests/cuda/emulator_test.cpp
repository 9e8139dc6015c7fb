#include "emulator.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <numeric>
#include <utility>

// The emulator's own tests: what a kernel gets from it, and a planted bug of each kind that it must report.
namespace meander::kernels::emulated {
namespace {

constexpr uint32_t whole_warp = 0xffffffffu;

// ---- what works ------------------------------------------------------------------------------------------------------

__global__ void write_places(int* y) {
  const int thread = static_cast<int>(threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z));
  const int block = static_cast<int>(blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z));
  y[block * static_cast<int>(blockDim.x * blockDim.y * blockDim.z) + thread] = 1000 * block + thread;
}

__global__ void reverse(const float* x, float* y) {
  MEANDER_SHARED(float, first, 64);
  float* second = shared_memory<float>();
  const unsigned i = threadIdx.x;
  first[i] = x[i];
  __syncthreads();
  second[i] = first[63 - i];
  __syncthreads();
  first[i] = second[i] + 1;   // each its own: no barrier needed
  y[i] = first[i];
}

constexpr int shuffles = 9;
__global__ void shuffle_all(int* y) {
  const int lane = static_cast<int>(threadIdx.x), v = 100 + lane;
  const int results[shuffles] = {__shfl_sync(whole_warp, v, 5),
                                 __shfl_sync(whole_warp, v, 3, 16),
                                 __shfl_xor_sync(whole_warp, v, 4),
                                 __shfl_xor_sync(whole_warp, v, 8, 16),
                                 __shfl_down_sync(whole_warp, v, 2u),
                                 __shfl_down_sync(whole_warp, v, 3u, 8),
                                 __shfl_up_sync(whole_warp, v, 2u),
                                 __shfl_up_sync(whole_warp, v, 3u, 8),
                                 __shfl_sync(whole_warp, v, lane + 1)};   // a source for each lane, modulo the width
  for (int k = 0; k < shuffles; ++k) y[k * 32 + lane] = results[k];
}

__global__ void vote(uint32_t* y) {
  const int lane = static_cast<int>(threadIdx.x);
  const uint32_t ballot = __ballot_sync(whole_warp, lane % 3 == 0);
  const int any = __any_sync(whole_warp, lane == 31), none = __any_sync(whole_warp, 0);
  const int all = __all_sync(whole_warp, 1), most = __all_sync(whole_warp, lane != 7);
  uint32_t half = 0;
  if (lane < 16) half = __ballot_sync(0xffffu, lane >= 8);
  if (lane == 0) {
    const uint32_t results[] = {ballot, static_cast<uint32_t>(any), static_cast<uint32_t>(none),
                                static_cast<uint32_t>(all), static_cast<uint32_t>(most), half};
    for (int k = 0; k < 6; ++k) y[k] = results[k];
  }
}

__global__ void count(int* total, float* sum) {
  atomicAdd(total, 1);
  atomicAdd(sum, 0.5f);
}

}  // namespace

TEST_CASE("emulator: each thread knows its place") {
  const Memory<int> y(2 * 3 * 2 * 30);
  launch(write_places, dim3(2, 3, 2), dim3(5, 3, 2), 0, y.data);
  std::vector<int> want;
  for (int block = 0; block < 12; ++block)
    for (int thread = 0; thread < 30; ++thread) want.push_back(1000 * block + thread);
  CHECK(y.host() == want);
}

TEST_CASE("emulator: shared memory and barriers") {
  std::vector<float> x(64), want;
  std::iota(x.begin(), x.end(), 0.0f);
  for (int i = 0; i < 64; ++i) want.push_back(static_cast<float>(64 - i));
  const Memory<float> from(x), y(64);
  CHECK(report(reverse, 64, 64 * sizeof(float), from.data, y.data) == "");
  CHECK(y.host() == want);
}

// Protects kernels whose blocks wait for each other: they run at the same time, in shared memory of their own.
TEST_CASE("emulator: a barrier of the whole grid") {
  const Memory<int> y(4);
  const Memory<uint32_t> arrived(std::vector<uint32_t>{0});
  for (int again = 0; again < 2; ++again) {
    CHECK(report_together(hand_on, 4, 64, y.data, arrived.data, true) == "");
    CHECK(y.host() == std::vector<int>{31, 32, 33, 30});   // three places on, 10 a round
  }
}

// The counter itself works as on hardware, so one that began with anything but zero lets nobody, or too many, pass.
TEST_CASE("emulator: the counter of a barrier of the grid counts") {
  for (unsigned blocks : {1u, 2u, 3u, 32u}) {
    uint32_t counter = 0;
    for (int round = 0; round < 5; ++round) {
      const uint32_t before = counter;
      for (uint32_t i = 0; i < blocks; ++i) {
        CHECK_FALSE(grid_came(before, counter));
        counter += grid_share((i + 1) % blocks, blocks);   // in any order
      }
      CHECK(grid_came(before, counter));
    }
  }
  const Memory<int> y(4);
  const Memory<uint32_t> taken(std::vector<uint32_t>{0x80000000u - 2});
  CHECK(has(report_together(hand_on, 4, 64, y.data, taken.data, true), "a loop that waits for other threads"));
}

// Protects the values at the ends of a warp and of a part of one, as CUDA defines them.
TEST_CASE("emulator: shuffles") {
  const Memory<int> y(32 * shuffles);
  launch(shuffle_all, 1, 32, 0, y.data);
  std::vector<int> want;
  const auto add = [&](auto source) {
    for (int lane = 0; lane < 32; ++lane) want.push_back(100 + source(lane));
  };
  add([](int) { return 5; });
  add([](int lane) { return lane < 16 ? 3 : 19; });
  add([](int lane) { return lane ^ 4; });
  add([](int lane) { return lane ^ 8; });
  add([](int lane) { return lane < 30 ? lane + 2 : lane; });
  add([](int lane) { return lane % 8 < 5 ? lane + 3 : lane; });
  add([](int lane) { return lane < 2 ? lane : lane - 2; });
  add([](int lane) { return lane % 8 < 3 ? lane : lane - 3; });
  add([](int lane) { return (lane + 1) % 32; });
  CHECK(y.host() == want);
}

TEST_CASE("emulator: votes and atomics") {
  const Memory<uint32_t> y(6);
  launch(vote, 1, 32, 0, y.data);
  uint32_t thirds = 0;
  for (int lane = 0; lane < 32; lane += 3) thirds |= 1u << lane;
  CHECK(y.host() == std::vector<uint32_t>{thirds, 1, 0, 1, 0, 0xff00u});

  const Memory<int> total(std::vector<int>{0});
  const Memory<float> sum(std::vector<float>{0});
  launch(count, 3, 40, 0, total.data, sum.data);
  CHECK(total.host()[0] == 120);
  CHECK(sum.host()[0] == 60);
}

// ---- products of small matrices --------------------------------------------------------------------------------------

namespace {

// The layouts that ptx.h states, with small integers: every product and sum is exact.
__global__ void multiply_tf32(const float* a, const float* b, float* c) {   // [16, 8] [8, 8]
  const int group = static_cast<int>(threadIdx.x) / 4, rest = static_cast<int>(threadIdx.x) % 4;
  const uint32_t fa[4] = {to_tf32(a[group * 8 + rest]), to_tf32(a[(group + 8) * 8 + rest]),
                          to_tf32(a[group * 8 + rest + 4]), to_tf32(a[(group + 8) * 8 + rest + 4])};
  const uint32_t fb[2] = {to_tf32(b[rest * 8 + group]), to_tf32(b[(rest + 4) * 8 + group])};
  float d[4] = {1, 2, 3, 4};   // added to
  mma_tf32(d, fa, fb);
  for (int i = 0; i < 4; ++i) c[(group + i / 2 * 8) * 8 + 2 * rest + i % 2] = d[i] - static_cast<float>(i + 1);
}
__global__ void multiply_bfloat16(const float* a, const float* b, float* c) {   // [16, 16] [16, 8]
  const int group = static_cast<int>(threadIdx.x) / 4, rest = static_cast<int>(threadIdx.x) % 4;
  const auto pair_a = [=](int row, int col) { return pack_bfloat16(a[row * 16 + col], a[row * 16 + col + 1]); };
  const auto pair_b = [=](int row, int col) { return pack_bfloat16(b[row * 8 + col], b[(row + 1) * 8 + col]); };
  const uint32_t fa[4] = {pair_a(group, 2 * rest), pair_a(group + 8, 2 * rest), pair_a(group, 2 * rest + 8),
                          pair_a(group + 8, 2 * rest + 8)};
  const uint32_t fb[2] = {pair_b(2 * rest, group), pair_b(2 * rest + 8, group)};
  float d[4] = {};
  mma_bfloat16(d, fa, fb);
  for (int i = 0; i < 4; ++i) c[(group + i / 2 * 8) * 8 + 2 * rest + i % 2] = d[i];
}
// Row i of four matrices [8, 8] of 16 bits, one after another, holds 8 i, 8 i + 1, ...
__global__ void load_four(uint32_t* y) {
  uint16_t* const rows = shared_memory<uint16_t>();
  const int lane = static_cast<int>(threadIdx.x);
  for (int j = 0; j < 8; ++j) rows[lane * 8 + j] = static_cast<uint16_t>(lane * 8 + j);
  __syncwarp();
  uint32_t r[4];
  load_matrices(r, rows + lane * 8);
  for (int m = 0; m < 4; ++m) y[m * 32 + lane] = r[m];
}
__global__ void load_unaligned(uint32_t* y) {
  uint32_t r[4];
  load_matrices(r, shared_memory<uint16_t>() + 4);
  y[0] = r[0];
}

std::vector<float> integers(int n, int seed) {
  std::vector<float> x;
  for (int i = 0; i < n; ++i) x.push_back(static_cast<float>((i * 7 + seed * 13 + i * i) % 23 - 11));
  return x;
}
std::vector<float> product(const std::vector<float>& a, const std::vector<float>& b, int k) {
  std::vector<float> c(16 * 8);
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 8; ++j)
      for (int l = 0; l < k; ++l) c[size_t(i * 8 + j)] += a[size_t(i * k + l)] * b[size_t(l * 8 + j)];
  return c;
}

}  // namespace

TEST_CASE("emulator: mma has the layouts of the hardware") {
  const auto check = [](auto kernel, int k) {
    const std::vector<float> a = integers(16 * k, 1), b = integers(k * 8, 2);
    const Memory<float> on_a(a), on_b(b), c(16 * 8);
    launch(kernel, 1, 32, 0, on_a.data, on_b.data, c.data);
    CHECK(c.host() == product(a, b, k));
  };
  check(multiply_tf32, 8);
  check(multiply_bfloat16, 16);
}

TEST_CASE("emulator: load_matrices has the layout of the hardware") {
  const Memory<uint32_t> y(4 * 32);
  launch(load_four, 1, 32, 32 * 16, y.data);
  std::vector<uint32_t> want;
  for (uint32_t m = 0; m < 4; ++m)
    for (uint32_t lane = 0; lane < 32; ++lane) {
      const uint32_t first = (m * 8 + lane / 4) * 8 + 2 * (lane % 4);
      want.push_back(first | (first + 1) << 16);
    }
  CHECK(y.host() == want);
  CHECK(has(report(load_unaligned, 32, 64, y.data), "aligned"));
}

TEST_CASE("emulator: tf32 and bfloat16 are rounded as by the hardware") {
  const auto back = [](uint32_t x) { return __uint_as_float(x); };
  CHECK(back(to_tf32(1 + 0x1p-11f)) == 1 + 0x1p-10f);   // a tie goes away from zero
  CHECK(back(to_tf32(-1 - 0x1p-11f)) == -1 - 0x1p-10f);
  CHECK(back(to_tf32(1 + 0x1p-12f)) == 1);
  CHECK(back(to_tf32(INFINITY)) == INFINITY);
  const auto high = [&](float x) { return back(pack_bfloat16(0, x)); };
  CHECK(high(1 + 0x1p-8f) == 1);                        // a tie goes to even
  CHECK(high(1 + 0x3p-8f) == 1 + 0x1p-6f);
  CHECK(high(1 + 0x1.1p-8f) == 1 + 0x1p-7f);
  CHECK(std::isnan(high(NAN)));
  CHECK(pack_bfloat16(1, 2) == (0x3f80u | 0x4000u << 16));
}

// ---- planted: barriers and warps -------------------------------------------------------------------------------------

namespace {

__global__ void leave_before_barrier(unsigned who) {
  if (threadIdx.x == who) return;
  __syncthreads();
}
__global__ void two_barriers() {
  if (threadIdx.x < 32)
    __syncthreads();
  else
    __syncthreads();
}
__global__ void barrier_in_loop() {   // not all take the same number of rounds
  for (unsigned i = 0; i < 1 + threadIdx.x / 32; ++i) __syncthreads();
}
__global__ void leave_before_grid(unsigned who) {
  if (blockIdx.x == who && threadIdx.x == 3) return;
  wait_for_grid(nullptr);
}
__global__ void two_grid_barriers() {
  if (blockIdx.x == 1)
    wait_for_grid(nullptr);
  else
    wait_for_grid(nullptr);
}
__global__ void block_and_grid() {
  if (threadIdx.x < 16)
    __syncthreads();
  else
    wait_for_grid(nullptr);
}
__global__ void diverge() {
  if (threadIdx.x < 16)
    __shfl_xor_sync(whole_warp, 1, 1);
  else
    __shfl_xor_sync(whole_warp, 1, 1);
}
__global__ void leave_warp() {
  if (threadIdx.x == 5) return;
  __syncwarp();
}
__global__ void warp_and_block() {
  if (threadIdx.x < 16)
    __syncthreads();
  else
    __syncwarp();
}
__global__ void different_masks() { __syncwarp(threadIdx.x < 16 ? whole_warp : 0xffff0000u); }
__global__ void not_in_mask() {
  if (threadIdx.x >= 15) __syncwarp(0xffff0000u);
}
__global__ void absent_source() {
  if (threadIdx.x < 16) __shfl_sync(0xffffu, 1, 20);
}
__global__ void absent_neighbour() {
  if (threadIdx.x < 16) __shfl_down_sync(0xffffu, 1, 1u);   // lane 15 reads lane 16
}

}  // namespace

TEST_CASE("emulator reports a barrier that a thread never reaches") {
  CHECK(has(report(leave_before_barrier, 64, 0, 3u), "a barrier that 1 threads of the block never reach"));
  CHECK(has(report(leave_before_barrier, 64, 0, 63u), "a thread leaves the kernel while the rest"));
  CHECK(report(leave_before_barrier, 64, 0, 64u) == "");   // and still works
  CHECK(has(report(barrier_in_loop, 64, 0), "barrier"));
  CHECK(has(report(leave_before_barrier, 64, 0, 3u), "emulator_test.cpp"));   // the place
}

TEST_CASE("emulator reports threads at different barriers") {
  CHECK(has(report(two_barriers, 64, 0), "the threads of the block diverge"));
  CHECK(has(report(warp_and_block, 32, 0), "wait for each other"));
}

TEST_CASE("emulator reports a barrier of the grid that not all reach") {
  CHECK(has(report_together(leave_before_grid, 3, 32, 1u), "threads of the grid never reach"));
  CHECK(has(report_together(leave_before_grid, 3, 32, 2u), "threads of the grid never reach"));
  CHECK(report_together(leave_before_grid, 3, 32, 3u) == "");
  CHECK(has(report_together(two_grid_barriers, 2, 32), "the threads of the grid diverge"));
  CHECK(has(report_together(block_and_grid, 2, 32), "the threads of the grid wait for each other"));
  CHECK(has(report(leave_before_grid, 32, 0, 3u), "not started by launch_together"));
}

TEST_CASE("emulator reports a warp operation whose lanes diverge or name the wrong lanes") {
  CHECK(has(report(diverge, 32, 0), "the lanes of a warp diverge"));
  CHECK(has(report(leave_warp, 32, 0), "thread 5 has left"));
  CHECK(has(report(different_masks, 32, 0), "different masks"));
  CHECK(has(report(not_in_mask, 32, 0), "that the mask of a warp operation leaves out"));
  CHECK(has(report(absent_source, 32, 0), "a shuffle reads lane 20, which takes no part"));
  CHECK(has(report(absent_neighbour, 32, 0), "a shuffle reads lane 16, which takes no part"));
}

TEST_CASE("emulator refuses what no GPU can launch") {
  CHECK(has(report(leave_warp, 1025, 0), "an impossible launch"));
  CHECK(has(report(leave_warp, 32, 228 * 1024), "an impossible launch"));
  CHECK(has(report(leave_warp, 0, 0), "an impossible launch"));
  CHECK(has(report_together(leave_before_grid, 5, 32, 9u), "blocks at once"));
  CHECK_THROWS_AS(place(), Failure);   // and device code on the host
}

// ---- planted: memory -------------------------------------------------------------------------------------------------

namespace {

// Fetches x and reads it: before it is waited for, after, and where no more than `valid` bytes were asked for.
__global__ void fetch(const float* x, float* y, int valid) {
  float* const here = shared_memory<float>();
  copy_async16(here, x, valid);
  copy_async_commit();
  y[0] = here[0];
  copy_async_wait<0>();
  for (int i = 0; i < 4; ++i) y[1 + i] = here[i];
}
// Two groups under way, of which the older is waited for.
__global__ void fetch_two(const float* x, float* y) {
  MEANDER_SHARED(float, here, 2);
  for (int i = 0; i < 2; ++i) {
    copy_async4(here + i, x + i);
    copy_async_commit();
  }
  copy_async_wait<1>();
  y[0] = here[0], y[1] = here[1];
  copy_async_wait<0>();
}
__global__ void never_wait(const float* x) { copy_async4(shared_memory<float>(), x), copy_async_commit(); }
__global__ void never_commit(const float* x) {
  copy_async4(shared_memory<float>(), x);
  copy_async_wait<0>();
}
__global__ void fetch_unaligned(const float* x) { copy_async16(shared_memory<float>(), x + 1); }
__global__ void read_unwritten(float* y) {
  MEANDER_SHARED(float, here, 4);
  y[0] = here[3];
  y[1] = shared_memory<float>()[3];
}
__global__ void without_shared_memory(float* y) { y[0] = shared_memory<float>()[0]; }
__global__ void leave_numbers_behind() {
  MEANDER_SHARED(float, here, 4);
  here[threadIdx.x] = shared_memory<float>()[threadIdx.x] = 1;
}

}  // namespace

// A kernel that needs the bytes early, or not early, is wrong on hardware, which promises neither.
TEST_CASE("emulator: an asynchronous copy arrives at any time between its start and the wait") {
  const Memory<float> x(std::vector<float>{1, 2, 3, 4}), y(5);
  const auto before_wait = [&](AsyncLanding landing) {
    const auto usual = std::exchange(async_landing, landing);
    CHECK(report(fetch, 1, 16, x.data, y.data, 16) == "");
    async_landing = usual;
    CHECK(y.host()[1] == 1);
    return y.host()[0];
  };
  CHECK(before_wait(AsyncLanding::at_issue) == 1);
  CHECK(std::isnan(before_wait(AsyncLanding::at_wait)));
  int early = 0;
  for (int i = 0; i < 64; ++i) early += !std::isnan(before_wait(AsyncLanding::any_time));
  CHECK(early > 5);
  CHECK(early < 50);
}

// Tensor cores cut off what lies 24 bits below the largest addend; a sum that is rounded once would keep it.
TEST_CASE("emulator: addends of tensor cores are cut off at the largest") {
  const double tiny[4] = {0x1p-24, 0x1p-24, 0x1p-24, 0x1p-24}, fine[4] = {0x1p-23, 0x1p-24, 0, 0};
  CHECK(aligned_sum(1, tiny) == 1);
  CHECK(aligned_sum(1, fine) == 1 + 0x1p-23);
  CHECK(aligned_sum(-1, tiny) == -1);
  const double large[4] = {3, -2.5, 0x1p-22, -0x1p-30};
  CHECK(aligned_sum(0.25, large) == 0.75 + 0x1p-22);
  const double infinite[4] = {INFINITY, 1, 2, 3};
  CHECK(aligned_sum(1, infinite) == INFINITY);
  const double none[4] = {0, 0, 0, 0};
  CHECK(aligned_sum(0, none) == 0);
}

TEST_CASE("emulator: an asynchronous copy that is late arrives when it is waited for") {
  const auto usual = std::exchange(async_landing, AsyncLanding::at_wait);
  const Memory<float> x(std::vector<float>{1, 2, 3, 4}), y(5);
  CHECK(report(fetch, 1, 16, x.data, y.data, 16) == "");
  CHECK(std::isnan(y.host()[0]));
  CHECK(y.host()[1] == 1);
  CHECK(y.host()[4] == 4);
  CHECK(report(fetch, 1, 16, x.data, y.data, 8) == "");
  CHECK(y.host()[2] == 2);
  CHECK(y.host()[3] == 0);
  CHECK(report(fetch_two, 1, 0, x.data, y.data) == "");
  CHECK(y.host()[0] == 1);
  CHECK(std::isnan(y.host()[1]));
  async_landing = usual;
}

TEST_CASE("emulator reports an asynchronous copy that nobody waits for") {
  const Memory<float> x(std::vector<float>{1, 2, 3, 4, 5});
  CHECK(has(report(never_wait, 1, 16, x.data), "before an asynchronous copy was waited for"));
  CHECK(has(report(never_commit, 1, 16, x.data), "before an asynchronous copy was waited for"));
  CHECK(has(report(fetch_unaligned, 1, 16, x.data), "not aligned"));
}

TEST_CASE("emulator: shared memory that was not written reads as NaN") {
  const Memory<float> y(2);
  CHECK(report(leave_numbers_behind, 4, 16) == "");
  CHECK(report(read_unwritten, 1, 16, y.data) == "");
  CHECK(std::isnan(y.host()[0]));
  CHECK(std::isnan(y.host()[1]));
  CHECK(has(report(without_shared_memory, 1, 0, y.data), "started with none"));
}

// Protects the rule that the host reads a device's memory by copies only, which a GPU would enforce.
TEST_CASE("emulator: the host's hand on device memory stops the program") {
  const Memory<float> x(std::vector<float>{1});
  for (const bool write : {false, true}) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      ::signal(SIGSEGV, SIG_DFL);   // no report by the test framework or a sanitizer
      volatile float* p = x.data;
      if (write)
        *p = 2;
      else
        static_cast<void>(*p);
      ::_exit(0);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGSEGV);
  }
  CHECK(x.host()[0] == 1);
}

}  // namespace meander::kernels::emulated
