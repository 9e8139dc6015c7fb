#undef _FORTIFY_SOURCE   // its longjmp takes a change of stacks for an error
#include <meander/kernels/cuda/emulator/executor.h>

#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <utility>
#include <vector>

#include <meander/kernels/error.h>
#include <meander/kernels/cuda/emulator/memory.h>
#include <meander/kernels/cuda/emulator/shared_memory.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace meander::kernels::emulated {
namespace {

constexpr size_t stack_size = 128 * 1024;

// ---- what the sanitizers are told ------------------------------------------------------------------------------------

inline void acquire([[maybe_unused]] void* object) {
#if defined(__SANITIZE_THREAD__)
  __tsan_acquire(object);
#endif
}
inline void release([[maybe_unused]] void* object) {
#if defined(__SANITIZE_THREAD__)
  __tsan_release(object);
#endif
}

// ---- the state of a running block ------------------------------------------------------------------------------------

struct AsyncCopy {
  void* to;
  const void* from;
  size_t size, valid;
  bool landed = false;
};

struct Block;

struct Fiber {
  ucontext_t context;                      // how it starts, and, sanitized, where it stands
  jmp_buf jump;                            // where it stands
  bool started = false;                    // else it begins at fiber_main
  void* stack = nullptr;
  void* fake_stack = nullptr;              // of the address sanitizer
  void* sanitizer_thread = nullptr;        // of the thread sanitizer
  ThreadPlace place;
  Block* block = nullptr;
  int number = 0;                          // among all fibers
  int index = 0;                           // in the block
  bool done = false;
  const char* waits_for = nullptr;         // for the report of a block that stands still
  SourceLocation where;
  std::vector<AsyncCopy> open_copies;      // not yet committed
  std::deque<std::vector<AsyncCopy>> groups;
};

struct Warp {
  uint32_t arrived = 0, mask = 0;
  uint64_t generation = 0;
  SourceLocation where;
  uint32_t slots[2][32 * slot_words];
  char sync[2];                            // what the thread sanitizer hangs its clocks on, by parity
};

// Threads that meet at barriers: those of a block, or of all blocks that run.
struct Group {
  const char* name;
  int threads = 0, alive = 0, arrived = 0;
  uint64_t generation = 0;
  SourceLocation where;
  char sync[2];                            // by the parity of the generation
};

struct Block : Group {
  std::vector<Warp> warps;
  SharedMemory* shared = nullptr;
};

// The blocks that run at the same time: one, or all of a grid whose blocks wait for each other.
struct Team : Group {
  bool whole_grid = false;
  uint64_t progress = 0;                   // arrivals and departures
};

Fiber* fibers[1024 * most_blocks_together];   // kept to the end of the process; no vector, whose accesses would be seen
size_t fiber_count = 0;
SharedMemory shared_memories[most_blocks_together];
Team* team = nullptr;
Fiber* running = nullptr;
[[maybe_unused]] ucontext_t host_context;
[[maybe_unused]] jmp_buf host_jump;
[[maybe_unused]] void* host_fake_stack = nullptr;
[[maybe_unused]] const void* host_stack_bottom = nullptr;
[[maybe_unused]] size_t host_stack_size = 0;
[[maybe_unused]] void* host_sanitizer_thread = nullptr;
char start_sync, end_sync;                 // from the host to the fibers, and back: never from fiber to fiber
char failure[1024];                        // a kernel's objects are not unwound: nothing of it may own memory
Body body;
const void* arguments;

struct Text {
  char s[64];
};
MEANDER_UNSEEN Text describe(const dim3& d) {
  Text t;
  std::snprintf(t.s, sizeof t.s, "(%u, %u, %u)", d.x, d.y, d.z);
  return t;
}
MEANDER_UNSEEN Text describe(const SourceLocation& where) {
  const char* slash = std::strrchr(where.file, '/');
  Text t;
  std::snprintf(t.s, sizeof t.s, "%s:%u", slash ? slash + 1 : where.file, where.line);
  return t;
}
MEANDER_UNSEEN bool same(const SourceLocation& a, const SourceLocation& b) {
  return a.line == b.line && std::strcmp(a.file, b.file) == 0;
}

// ---- switching -------------------------------------------------------------------------------------------------------

void fiber_main();

MEANDER_UNSEEN void switch_to(Fiber* to) {
  Fiber* const from = running;
  running = to;
#if defined(__SANITIZE_ADDRESS__)
  void** keep = from ? &from->fake_stack : &host_fake_stack;
  if (to)
    __sanitizer_start_switch_fiber(keep, to->stack, stack_size);
  else
    __sanitizer_start_switch_fiber(keep, host_stack_bottom, host_stack_size);
#endif
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(to ? to->sanitizer_thread : host_sanitizer_thread, __tsan_switch_to_fiber_no_sync);
#endif
  if (to && !to->started) {
    getcontext(&to->context);
    to->context.uc_stack.ss_sp = to->stack;
    to->context.uc_stack.ss_size = stack_size;
    to->context.uc_link = nullptr;
    makecontext(&to->context, fiber_main, 0);
  }
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  if (to) to->started = true;
  swapcontext(from ? &from->context : &host_context, to ? &to->context : &host_context);
#else
  // swapcontext, but for its two system calls; the sanitizers would take the jump for an exception.
  if (_setjmp(from ? from->jump : host_jump) == 0) {
    if (to && !std::exchange(to->started, true)) setcontext(&to->context);
    _longjmp(to ? to->jump : host_jump, 1);
  }
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(from ? from->fake_stack : host_fake_stack, nullptr, nullptr);
#endif
}

MEANDER_UNSEEN Fiber* next_alive(int after) {
  for (int i = 1; i <= team->threads; ++i) {
    Fiber* f = fibers[static_cast<size_t>((after + i) % team->threads)];
    if (!f->done) return f;
  }
  return nullptr;
}

MEANDER_UNSEEN void stand_still() {
  char text[600] = "";
  int shown = 0;
  for (int i = 0; i < team->threads && shown < 4; ++i) {
    const Fiber& f = *fibers[static_cast<size_t>(i)];
    if (i > 0 && f.waits_for == fibers[static_cast<size_t>(i - 1)]->waits_for) continue;
    const size_t n = std::strlen(text);
    if (f.done)
      std::snprintf(text + n, sizeof text - n, " thread %d has left;", i);
    else
      std::snprintf(text + n, sizeof text - n, " thread %d at %s %s;", i, f.waits_for, describe(f.where).s);
    ++shown;
  }
  fail("the threads of the %s wait for each other:%s", team->name, text);
}

// Lets the others run until `ready` holds. When nobody has come any further in a whole round, nobody will.
template <class Ready>
MEANDER_UNSEEN void wait_until(const char* what, const SourceLocation& where, Ready ready) {
  Fiber* const self = running;
  self->waits_for = what;
  self->where = where;
  uint64_t seen = team->progress;
  while (!ready()) {
    Fiber* next = next_alive(self->number);
    release(&end_sync);
    if (next != self) switch_to(next);
    if (ready()) break;
    if (team->progress == seen) stand_still();
    seen = team->progress;
  }
  self->waits_for = nullptr;
}

MEANDER_UNSEEN void fiber_main() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
  for (;;) {
    Fiber* const self = running;
    acquire(&start_sync);
    body(arguments);
    if (!self->groups.empty() || !self->open_copies.empty())
      fail("the kernel ends before an asynchronous copy was waited for");
    release(&end_sync);
    self->done = true;
    self->waits_for = nullptr;
    ++team->progress;
    for (Group* g : {static_cast<Group*>(self->block), static_cast<Group*>(team)})
      if (--g->alive == g->arrived && g->arrived > 0)
        fail("a thread leaves the kernel while the rest of its %s waits at the barrier %s", g->name, describe(g->where).s);
    Fiber* next = next_alive(self->number);
    switch_to(next);
  }
}

MEANDER_UNSEEN Fiber& fiber_at(size_t i) {
  while (fiber_count <= i) {
    Fiber* f = new Fiber;
    f->stack = mmap(nullptr, stack_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (f->stack == MAP_FAILED) throw Failure("no memory for the emulator's stacks");
    f->number = static_cast<int>(fiber_count);
#if defined(__SANITIZE_THREAD__)
    f->sanitizer_thread = __tsan_create_fiber(0);
#endif
    fibers[fiber_count++] = f;
  }
  return *fibers[i];
}

}  // namespace

// ---- what kernels ask ------------------------------------------------------------------------------------------------

MEANDER_UNSEEN void fail(const char* format, ...) {
  char what[800];
  va_list list;
  va_start(list, format);
  std::vsnprintf(what, sizeof what, format, list);
  va_end(list);
  if (!running) throw Failure(what);
  std::snprintf(failure, sizeof failure, "emulated kernel, block %s, thread %s: %s", describe(running->place.block).s,
                describe(running->place.thread).s, what);
  release(&end_sync);
  switch_to(nullptr);      // for good
  std::abort();
}

MEANDER_UNSEEN const ThreadPlace& place() {
  if (!running) throw Failure("device code was called outside a kernel");
  return running->place;
}

MEANDER_UNSEEN int lane() { return running->index % 32; }

namespace {

MEANDER_UNSEEN void barrier(Group& g, const char* what, SourceLocation where) {
  const uint64_t generation = g.generation;
  if (g.arrived == 0)
    g.where = where;
  else if (!same(g.where, where))
    fail("the threads of the %s diverge: one is at the barrier %s, another at %s", g.name, describe(where).s,
         describe(g.where).s);
  release(&g.sync[generation & 1]);
  ++team->progress;
  if (++g.arrived == g.alive) {
    if (g.alive != g.threads)
      fail("a barrier that %d threads of the %s never reach, at %s", g.threads - g.alive, g.name, describe(where).s);
    g.arrived = 0;
    ++g.generation;
  } else {
    wait_until(what, where, [&] { return g.generation != generation; });
  }
  acquire(&g.sync[generation & 1]);
}

}  // namespace

MEANDER_UNSEEN void block_barrier(SourceLocation where) { barrier(*running->block, "the barrier", where); }

MEANDER_UNSEEN void grid_barrier(SourceLocation where) {
  if (!team->whole_grid)
    fail("a barrier of the grid, at %s, in a kernel that was not started by launch_together", describe(where).s);
  barrier(*team, "the barrier of the grid", where);
}

MEANDER_UNSEEN void spin_until(bool (*ready)(const void*), const void* state, SourceLocation where) {
  ++team->progress;   // others may wait for what was done before this
  if (!ready(state)) wait_until("a loop that waits for other threads", where, [&] { return ready(state); });
}

namespace {

// Returns the generation that ended; all lanes of the mask have come.
MEANDER_UNSEEN uint64_t meet(uint32_t mask, const void* mine, size_t size, SourceLocation where, const char* what) {
  const int index = running->index, lane = index % 32;
  Warp& w = running->block->warps[static_cast<size_t>(index / 32)];
  const uint64_t generation = w.generation;
  if (!(mask >> lane & 1)) fail("a lane that the mask of a warp operation leaves out, at %s", describe(where).s);
  if (w.arrived == 0) {
    w.mask = mask;
    w.where = where;
  } else if (w.mask != mask) {
    fail("the lanes of a warp give different masks at %s", describe(where).s);
  } else if (!same(w.where, where)) {
    fail("the lanes of a warp diverge: one is at %s, another at %s", describe(where).s, describe(w.where).s);
  }
  if (size > 4 * slot_words) fail("a warp exchange of more than 64 bytes");
  copy_unseen(w.slots[generation & 1] + static_cast<size_t>(lane) * slot_words, mine, size);
  w.arrived |= 1u << lane;
  ++team->progress;
  if (w.arrived == mask) {
    w.arrived = 0;
    ++w.generation;
  } else {
    wait_until(what, where, [&] { return w.generation != generation; });
  }
  return generation;
}

}  // namespace

MEANDER_UNSEEN const uint32_t* warp_exchange(uint32_t mask, const void* mine, size_t size, SourceLocation where) {
  const uint64_t generation = meet(mask, mine, size, where, "the warp operation");
  return running->block->warps[static_cast<size_t>(running->index / 32)].slots[generation & 1];
}

MEANDER_UNSEEN void warp_barrier(uint32_t mask, SourceLocation where) {
  Warp& w = running->block->warps[static_cast<size_t>(running->index / 32)];
  const uint64_t parity = w.generation & 1;
  release(&w.sync[parity]);
  meet(mask, nullptr, 0, where, "the warp barrier");
  acquire(&w.sync[parity]);
}

MEANDER_UNSEEN std::byte* dynamic_shared_memory() {
  const SharedMemory& shared = *running->block->shared;
  if (!shared.dynamic) fail("the kernel uses dynamic shared memory but was started with none");
  return shared.base;
}

MEANDER_UNSEEN std::byte* static_shared_memory(const void* tag, size_t size) {
  SharedMemory& shared = *running->block->shared;
  for (int i = 0; i < shared.count; ++i)
    if (shared.arrays[i].tag == tag) return shared.arrays[i].data;
  if (shared.count == SharedMemory::most_arrays || shared.dynamic + shared.taken + size > SharedMemory::size)
    fail("the kernel has too many static shared arrays");
  std::byte* p = shared.take(size);
  shared.arrays[shared.count++] = {tag, p};
  return p;
}

// ---- asynchronous copies ---------------------------------------------------------------------------------------------
// Hardware may move the bytes when it is told to, when they are waited for, or at any time between.
namespace {

MEANDER_UNSEEN bool lands_now() {
  if (async_landing != AsyncLanding::any_time) return async_landing == AsyncLanding::at_issue;
  static uint64_t draws = 0;                                 // SplitMix64
  uint64_t z = async_seed + ++draws * 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return (z ^ z >> 31) % 4 == 0;
}

// The kernel's own accesses: seen by the thread sanitizer.
__attribute__((noinline)) void move(AsyncCopy& c) {
  if (std::exchange(c.landed, true)) return;
  for (size_t i = 0; i < c.size; i += 4) {
    uint32_t word = 0;
    if (i < c.valid) std::memcpy(&word, static_cast<const std::byte*>(c.from) + i, 4);
    *reinterpret_cast<volatile uint32_t*>(static_cast<std::byte*>(c.to) + i) = word;
  }
}

MEANDER_UNSEEN void land_some() {
  if (async_landing != AsyncLanding::any_time) return;
  for (auto& group : running->groups)
    for (AsyncCopy& c : group)
      if (!c.landed && lands_now()) move(c);
}

}  // namespace

MEANDER_UNSEEN void async_copy(void* to, const void* from, size_t size, size_t valid) {
  if ((size != 4 && size != 8 && size != 16) || valid > size) fail("an asynchronous copy of 4, 8 or 16 bytes is wanted");
  if (reinterpret_cast<uintptr_t>(to) % size || (valid && reinterpret_cast<uintptr_t>(from) % size))
    fail("an asynchronous copy of %zu bytes is not aligned to its size", size);
  land_some();
  running->open_copies.push_back({to, from, size, valid});
  if (lands_now()) move(running->open_copies.back());
}

MEANDER_UNSEEN void async_commit() {
  land_some();
  running->groups.push_back(std::move(running->open_copies));
  running->open_copies.clear();
}


MEANDER_UNSEEN void async_wait(int groups_left) {
  while (running->groups.size() > static_cast<size_t>(groups_left)) {
    for (AsyncCopy& c : running->groups.front()) move(c);
    running->groups.pop_front();
  }
}

// ---- starting a kernel -----------------------------------------------------------------------------------------------

namespace {

MEANDER_UNSEEN void prepare(Fiber& f, Block& block, unsigned i, dim3 at, const Launch& l) {
  const dim3 size = l.block;
  f.place = {{i % size.x, i / size.x % size.y, i / (size.x * size.y)}, at, size, l.grid};
  f.block = &block;
  f.index = static_cast<int>(i);
  f.done = false;
  f.waits_for = nullptr;
  f.open_copies.clear();
  f.groups.clear();
}

// The blocks [first, first + count) of the grid at once.
MEANDER_UNSEEN void run_blocks(unsigned first, unsigned count, const Launch& l) {
  const unsigned threads = l.block.x * l.block.y * l.block.z;
  Team here;
  here.name = l.together ? "grid" : "block";
  here.whole_grid = l.together;
  here.threads = here.alive = static_cast<int>(threads * count);
  std::vector<Block> blocks(count);
  for (unsigned b = 0; b < count; ++b) {
    Block& block = blocks[b];
    block.name = "block";
    block.threads = block.alive = static_cast<int>(threads);
    block.warps = std::vector<Warp>(static_cast<size_t>((threads + 31) / 32));
    block.shared = &shared_memories[b];
    block.shared->reset(l.shared_bytes);
    const unsigned n = first + b;
    const dim3 at{n % l.grid.x, n / l.grid.x % l.grid.y, n / (l.grid.x * l.grid.y)};
    for (unsigned i = 0; i < threads; ++i) prepare(fiber_at(b * threads + i), block, i, at, l);
  }
  team = &here;
  release(&start_sync);
  switch_to(fibers[0]);
  acquire(&end_sync);
  team = nullptr;
}

}  // namespace

MEANDER_UNSEEN const char* about() {
  static thread_local std::string text;
  text = message("an emulated GPU of ", emulated_room.multiprocessors, " multiprocessors, ",
                 emulated_room.shared_bytes / 1024, " KB a block");
  return text.c_str();
}

void run(Body function, const void* bytes, const Launch& l) {
  const unsigned threads = l.block.x * l.block.y * l.block.z;
  if (threads == 0 || threads > 1024 || l.grid.x == 0 || l.grid.y == 0 || l.grid.z == 0 || l.grid.y > 65535 ||
      l.grid.z > 65535 || static_cast<int64_t>(l.shared_bytes) > emulated_room.shared_bytes)
    throw Failure(message("an impossible launch: grid ", describe(l.grid).s, ", block ", describe(l.block).s, ", ",
                          l.shared_bytes, " bytes of shared memory"));
  const unsigned blocks = l.grid.x * l.grid.y * l.grid.z;
  const auto at_most = std::min(static_cast<unsigned>(emulated_room.multiprocessors), most_blocks_together);
  if (l.together && blocks > at_most)
    throw Failure(message("an impossible launch: ", blocks, " blocks at once, of ", at_most));
  const DeviceAtWork at_work;
  if (running) throw Failure("a kernel was started from within a kernel");
#if defined(__SANITIZE_THREAD__)
  host_sanitizer_thread = __tsan_get_current_fiber();
#endif
#if defined(__SANITIZE_ADDRESS__)
  pthread_attr_t attributes;
  pthread_getattr_np(pthread_self(), &attributes);
  void* bottom;
  pthread_attr_getstack(&attributes, &bottom, &host_stack_size);
  host_stack_bottom = bottom;
  pthread_attr_destroy(&attributes);
#endif
  body = function;
  arguments = bytes;
  failure[0] = 0;
  const unsigned at_once = l.together ? blocks : 1;
  for (unsigned first = 0; first < blocks; first += at_once) {
    run_blocks(first, at_once, l);
    if (!failure[0]) continue;
    for (size_t i = 0; i < fiber_count; ++i) {   // they stand in the middle of it: from the start the next time
      fibers[i]->started = false;
      fibers[i]->fake_stack = nullptr;
      MEANDER_UNPOISON(fibers[i]->stack, stack_size);
    }
    throw Failure(failure);
  }
}

}  // namespace meander::kernels::emulated
