#include "kernels/cuda/emulator/memory.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>

#include "core/error.h"
#include "kernels/cuda/emulator/executor.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace meander::kernels::emulated {
namespace {

std::recursive_mutex device_mutex;

// One range of addresses; open to this process only while a kernel or a copy runs.
struct DeviceMemory {
  static constexpr size_t reserve = size_t{32} << 30, page = 4096, huge_page = size_t{2} << 20;
  std::byte* base = nullptr;
  size_t used = 0;                          // from the base
  std::map<void*, size_t> blocks;           // address -> bytes, whole pages
  std::multimap<size_t, void*> free_blocks;
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
  const DeviceAtWork at_work;
  DeviceMemory& m = memory();
  if (!m.base) {
    void* p = mmap(nullptr, m.reserve + m.huge_page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) throw Failure("no address space for the emulator's device memory");
    m.base = static_cast<std::byte*>(p) + (m.huge_page - reinterpret_cast<uintptr_t>(p) % m.huge_page);
    madvise(m.base, m.reserve, MADV_HUGEPAGE);
  }
  // At least one byte more, closed to the kernels where the address sanitizer looks.
  const size_t taken = (size + m.page) / m.page * m.page;
  void* p;
  if (const auto f = m.free_blocks.find(taken); f != m.free_blocks.end()) {
    p = f->second;
    m.free_blocks.erase(f);
  } else {
    if (m.used + taken > m.reserve) throw Failure("the emulator's device memory is used up");
    p = m.base + m.used;
    m.used += taken;
    m.protect(PROT_READ | PROT_WRITE);
  }
  m.blocks[p] = taken;
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(p, taken);
#endif
  std::memset(p, 0xff, taken);
#if defined(__SANITIZE_ADDRESS__)
  ASAN_POISON_MEMORY_REGION(static_cast<std::byte*>(p) + size, taken - size);
#endif
  return p;
}

void deallocate(void* p) {
  if (!p) return;
  const std::lock_guard lock(device_mutex);
  DeviceMemory& m = memory();
  const auto found = m.blocks.find(p);
  if (found == m.blocks.end()) throw Failure("the emulator was asked to free memory it did not give");
  m.free_blocks.emplace(found->second, p);
  m.blocks.erase(found);
}

}  // namespace meander::kernels::emulated
