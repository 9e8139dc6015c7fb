#pragma once

#include <cstddef>
#include <cstdint>
#include <tuple>
#include <vector>

#include <meander/kernels/cuda/device_room.h>

// Runs CUDA kernels compiled as C++: one fiber a CUDA thread, the blocks of a grid one after another, the fibers of a
// block in turns that change hands at barriers and warp operations only. What goes wrong is reported by a Failure that
// names the block and thread; races and bounds are found by the thread and address sanitizers, to which each fiber is a
// thread with a stack of its own.
namespace meander::kernels::emulated {

struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
  Dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
using dim3 = Dim3;

// The executor's own reads and writes are not the kernel's: the thread sanitizer must not take them for such.
#define MEANDER_UNSEEN __attribute__((no_sanitize("thread")))
// Word by word, or the compiler would call a memcpy that the sanitizer sees.
MEANDER_UNSEEN inline void copy_unseen(void* to, const void* from, size_t size) {
  for (size_t i = 0; i < size / 4; ++i)
    static_cast<volatile uint32_t*>(to)[i] = static_cast<const volatile uint32_t*>(from)[i];
  for (size_t i = size / 4 * 4; i < size; ++i)
    static_cast<volatile unsigned char*>(to)[i] = static_cast<const volatile unsigned char*>(from)[i];
}

// ---- what a running kernel asks of the executor ----------------------------------------------------------------------

// Where in the code a barrier or an exchange stands: std::source_location, which Clang lacks before its version 15.
struct SourceLocation {
  const char* file = "";
  unsigned line = 0;
  static constexpr SourceLocation current(const char* file = __builtin_FILE(), unsigned line = __builtin_LINE()) {
    return {file, line};
  }
};

struct ThreadPlace {
  dim3 thread, block, block_size, grid_size;
};
const ThreadPlace& place();                        // of the running thread; throws outside a kernel
int lane();

// All threads of the block. Divergence (a thread that left, or stands at another barrier) is reported.
void block_barrier(SourceLocation where);
// All threads of the grid, in a kernel started by launch_together. Likewise.
void grid_barrier(SourceLocation where);
// A loop that waits for what other threads do; where none of them does anything any more, that is reported.
void spin_until(bool (*ready)(const void* state), const void* state, SourceLocation where);
template <class Ready>
void spin_until(const Ready& ready, SourceLocation where) {
  spin_until([](const void* state) { return (*static_cast<const Ready*>(state))(); }, &ready, where);
}
// The lanes of `mask`, which must all come with the same mask, at the same place. Each gives `size` bytes (at most 64)
// and sees those of all: the result is an array of 32 slots, kept until the lane's next exchange but one.
constexpr size_t slot_words = 16;
const uint32_t* warp_exchange(uint32_t mask, const void* mine, size_t size, SourceLocation where);
void warp_barrier(uint32_t mask, SourceLocation where);

std::byte* dynamic_shared_memory();                // exactly the size asked for, filled with 0xff
// The block's array for one MEANDER_SHARED, named by the address of a tag; likewise.
std::byte* static_shared_memory(const void* tag, size_t size);

// Copies at a time that a test may choose: when asked to, when waited for, or at random between. Where nobody waits that is
// reported when the kernel ends.
enum class AsyncLanding { any_time, at_issue, at_wait };
inline AsyncLanding async_landing = AsyncLanding::any_time;
inline uint64_t async_seed = 0;
void async_copy(void* to, const void* from, size_t size, size_t valid);   // the rest of `size` becomes zero
void async_commit();
void async_wait(int groups_left);

// Ends the kernel: launch throws Failure with this text, formatted as by printf.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

// ---- starting --------------------------------------------------------------------------------------------------------

using Body = void (*)(const void* arguments);
struct Launch {
  dim3 grid, block;
  size_t shared_bytes = 0;
  bool together = false;                           // all blocks at the same time
};
constexpr unsigned most_blocks_together = 32;
// What the emulated device has; tests give it other cards' figures, up to most_blocks_together multiprocessors.
inline DeviceRoom emulated_room{4, 227 * 1024};
inline DeviceRoom device_room() { return emulated_room; }
const char* about();
void run(Body body, const void* arguments, const Launch&);   // now
// Runs the kernel now, or records it if the stream is being captured: function and argument bytes.
void start(Body body, const void* arguments, size_t size, const Launch&);

template <class... Parameters, class... Arguments>
void start_kernel(void (*kernel)(Parameters...), const Launch& launch, const Arguments&... arguments) {
  struct Call {
    void (*kernel)(Parameters...);
    std::tuple<Parameters...> parameters;
  };
  const Call call{kernel, {static_cast<Parameters>(arguments)...}};
  start([](const void* p) {
    const Call& c = *static_cast<const Call*>(p);
    std::apply(c.kernel, c.parameters);
  }, &call, sizeof call, launch);
}
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, const Arguments&... arguments) {
  start_kernel(kernel, {grid, block, shared_bytes, false}, arguments...);
}
template <class... Parameters, class... Arguments>
void launch_together(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
                     const Arguments&... arguments) {
  start_kernel(kernel, {grid, block, shared_bytes, true}, arguments...);
}
template <class... Parameters>
int blocks_together(void (*)(Parameters...), int /*threads*/, size_t shared_bytes) {
  return static_cast<int64_t>(shared_bytes) <= emulated_room.shared_bytes ? emulated_room.multiprocessors : 0;
}

// ---- the device ------------------------------------------------------------------------------------------------------
// Device memory is closed to the host: it can be touched by kernels and copies only, so that a host read of a device
// pointer stops the program here as it would beside a GPU.
void* allocate(size_t size);                       // filled with 0xff
void deallocate(void* p);
void copy(void* to, const void* from, size_t size);   // in either direction, or on the device; recorded in a capture
void fill(void* p, int byte, size_t size);            // recorded in a capture

void start_capture();
// What the next piece of work to be recorded waits for: the one recorded before it, unless something else is set.
using Node = size_t;
void set_capture_dependencies(const std::vector<Node>&);
const std::vector<Node>& capture_dependencies();
struct Graph;
Graph* finish_capture();   // throws Failure if something forbidden was asked for within
// For what a device refuses while work of this thread is recorded: throws Failure then, and the record is void.
void expect_no_capture(const char* call);
// What was recorded, with the argument bytes of then: each time in another order of those that keep to what waits for what.
void replay(const Graph&);
void destroy(Graph*);

uint64_t launches();                               // kernels started or recorded so far

}  // namespace meander::kernels::emulated
