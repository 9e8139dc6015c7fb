#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include <meander/kernels/accesses.h>

#if defined(__SANITIZE_ADDRESS__)
#define MEANDER_CHECKS_ACCESSES
#endif

namespace meander::kernels::emulated {

// While one lives the device works: its memory is open, and other threads of the host wait for their turn.
class DeviceAtWork {
 public:
  DeviceAtWork();
  ~DeviceAtWork();
  DeviceAtWork(const DeviceAtWork&) = delete;
  DeviceAtWork& operator=(const DeviceAtWork&) = delete;
};

// Memory of the host that kernels reach; and no other of the host's.
void* allocate_host(size_t size);
void deallocate_host(void* p);
// Throws Failure if a call is given memory that the device does not reach, or more of it than there is.
void expect_reachable(const char* call, const Accesses&);

#if defined(MEANDER_CHECKS_ACCESSES)
// While one lives, a kernel or copy may touch of the device's memory only what a call said it would touch, and what it
// said it would only read must not change: anything else the address sanitizer, or the end of this, reports.
class Opened {
 public:
  explicit Opened(const Accesses&);
  ~Opened();
  Opened(const Opened&) = delete;
  Opened& operator=(const Opened&) = delete;

 private:
  void open_all();
  const DeviceAtWork at_work_;
  std::vector<std::pair<Access, uint64_t>> kept_;   // what must not change, and its sum of before
};
#endif

}  // namespace meander::kernels::emulated
