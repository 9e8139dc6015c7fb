#include <meander/kernels/cuda/emulator/memory.h>

#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include <meander/kernels/error.h>
#include <meander/kernels/cuda/emulator/executor.h>
#include <meander/kernels/poison.h>

namespace meander::kernels::emulated {
namespace {

std::recursive_mutex device_mutex;

// One range of addresses; open to this process only while a kernel or a copy runs.
struct DeviceMemory {
  static constexpr size_t page = 4096, huge_page = size_t{2} << 20;
  size_t reserve = size_t{32} << 30;        // less where the system refuses it
  std::byte* base = nullptr;
  size_t used = 0;                          // from the base
  struct Block {
    size_t taken, size;                     // bytes: whole pages, and what was asked for
    void close_rest(std::byte* p) const { MEANDER_POISON(p + size, taken - size); }
  };
  std::map<std::byte*, Block> blocks;
  std::multimap<size_t, std::byte*> free_blocks;
  int at_work = 0;

  // In whole huge pages, of which there are few: changing the protection of each small one takes a millisecond.
  void protect(int how) {
    if (used) mprotect(base, (used + huge_page - 1) / huge_page * huge_page, how);
  }
};
DeviceMemory& memory() {
  static DeviceMemory m;
  return m;
}

}  // namespace

DeviceAtWork::DeviceAtWork() {
  device_mutex.lock();
  if (memory().at_work++ == 0) memory().protect(PROT_READ | PROT_WRITE);
}
DeviceAtWork::~DeviceAtWork() {
  if (--memory().at_work == 0) memory().protect(PROT_NONE);
  device_mutex.unlock();
}

void* allocate(size_t size) {
  expect_no_capture("allocate");
  const DeviceAtWork at_work;
  DeviceMemory& m = memory();
  if (!m.base) {
    const auto reserve = [&] {
      return mmap(nullptr, m.reserve + m.huge_page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    };
    void* p = reserve();
    for (; p == MAP_FAILED && m.reserve > size_t{256} << 20; p = reserve()) m.reserve /= 2;
    if (p == MAP_FAILED) throw Failure("no address space for the emulator's device memory");
    m.base = static_cast<std::byte*>(p) + (m.huge_page - reinterpret_cast<uintptr_t>(p) % m.huge_page);
    madvise(m.base, m.reserve, MADV_HUGEPAGE);
  }
  // At least one byte more, closed to the kernels where the address sanitizer looks.
  const size_t taken = (size + m.page) / m.page * m.page;
  std::byte* p;
  if (const auto f = m.free_blocks.find(taken); f != m.free_blocks.end()) {
    p = f->second;
    m.free_blocks.erase(f);
  } else {
    if (m.used + taken > m.reserve) throw Failure("the emulator's device memory is used up");
    p = m.base + m.used;
    m.used += taken;
    m.protect(PROT_READ | PROT_WRITE);
  }
  MEANDER_UNPOISON(p, taken);
  std::memset(p, 0xff, taken);
  (m.blocks[p] = {taken, size}).close_rest(p);
  return p;
}

void deallocate(void* p) {
  if (!p) return;
  expect_no_capture("deallocate");
  const std::lock_guard lock(device_mutex);
  DeviceMemory& m = memory();
  const auto found = m.blocks.find(static_cast<std::byte*>(p));
  if (found == m.blocks.end()) throw Failure("the emulator was asked to free memory it did not give");
  m.free_blocks.emplace(found->second.taken, found->first);
  m.blocks.erase(found);
}

static std::map<const std::byte*, size_t>& host_ranges() {
  static std::map<const std::byte*, size_t> ranges;
  return ranges;
}

void* allocate_host(size_t size) {
  expect_no_capture("allocate_host");
  const std::lock_guard lock(device_mutex);
  void* const p = ::operator new(size, std::align_val_t(64));
  host_ranges()[static_cast<std::byte*>(p)] = size;
  return p;
}
void deallocate_host(void* p) {
  const std::lock_guard lock(device_mutex);
  host_ranges().erase(static_cast<std::byte*>(p));
  ::operator delete(p, std::align_val_t(64));
}

void expect_reachable(const char* call, const Accesses& accesses) {
  const std::lock_guard lock(device_mutex);
  // The range of a map that begins last before a, if a lies in it.
  const auto holds = [](const auto& ranges, const Access& a, auto size_of) {
    auto after = ranges.upper_bound(const_cast<std::byte*>(a.begin));
    if (after == ranges.begin()) return false;
    --after;
    return a.end <= after->first + size_of(after->second);
  };
  for (const Access& a : accesses)
    if (a.begin && !holds(memory().blocks, a, [](const DeviceMemory::Block& b) { return b.size; }) &&
        !holds(host_ranges(), a, [](size_t size) { return size; }))
      throw Failure(message("emulator: ", call, " was given ", a.end - a.begin, " bytes that the device does not reach"));
}

#if defined(MEANDER_CHECKS_ACCESSES)

// FNV-1a.
__attribute__((no_sanitize("address"))) static uint64_t sum_of(const Access& a) {
  uint64_t sum = 0xcbf29ce484222325;
  for (const std::byte* p = a.begin; p < a.end; ++p) sum = (sum ^ static_cast<uint64_t>(*p)) * 0x100000001b3;
  return sum;
}

Opened::Opened(const Accesses& accesses) {
  const DeviceMemory& m = memory();
  MEANDER_POISON(m.base, m.used);
  for (const Access& a : accesses) {
    if (!a.begin)
      open_all();
    else if (a.begin >= m.base && a.begin < m.base + m.used)
      MEANDER_UNPOISON(a.begin, static_cast<size_t>(a.end - a.begin));
  }
  for (const Access& a : accesses) {
    bool changes = a.written;
    for (const Access& b : accesses) changes |= b.written && (!b.begin || (a.begin < b.end && b.begin < a.end));
    if (!changes) kept_.push_back({a, sum_of(a)});
  }
}

Opened::~Opened() {
  for (const auto& [access, sum] : kept_)
    if (sum_of(access) != sum) {
      std::fprintf(stderr, "emulator: a call wrote to memory that it is said to read only\n");
      std::abort();
    }
  open_all();
}

void Opened::open_all() {
  const DeviceMemory& m = memory();
  MEANDER_UNPOISON(m.base, m.used);
  for (const auto& [p, block] : m.blocks) block.close_rest(p);
}

#endif

}  // namespace meander::kernels::emulated
