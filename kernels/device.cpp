#include <meander/kernels/device.h>

#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include <meander/kernels/error.h>
#include <meander/kernels/isa.h>
#include <meander/kernels/modules.h>

namespace meander::kernels {
namespace {

// ---- the CPU as a device: all work is done at once, so there is nothing to wait for or to record -----------------------

void* allocate(size_t bytes) {
  void* p = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
  if (!p) throw std::bad_alloc();
  return p;
}
void copy(void* to, const void* from, size_t bytes) { std::memcpy(to, from, bytes); }
void fill(void* p, int byte, size_t bytes) { std::memset(p, byte, bytes); }
void no_graph() { throw Failure("the CPU records no graphs"); }

const DeviceKernels cpu = [] {
  DeviceKernels k{};
  k.name = "cpu";
  k.shares_memory = true;
  k.about = [] { return isa_name(isa()); };
  k.allocate = allocate, k.deallocate = std::free, k.copy = copy, k.fill = fill;
  k.allocate_host = allocate, k.deallocate_host = std::free;
  k.synchronise = [] {};
  k.begin_capture = [](bool) { no_graph(); };
  k.end_capture = []() -> void* { return no_graph(), nullptr; };
  k.launch_graph = k.destroy_graph = [](void*) { no_graph(); };

#define MEANDER_ENTER(name) k.name = kernels::name;
  MEANDER_DEVICE_FUNCTIONS(MEANDER_ENTER, MEANDER_ENTER)
  MEANDER_DEVICE_SIZES(MEANDER_ENTER)
#undef MEANDER_ENTER
  return k;
}();

const DeviceKernels* (*finders[3])(const char** why) = {[](const char**) { return &cpu; }, nullptr, nullptr};
thread_local const DeviceKernels* this_device = &cpu;

}  // namespace

void register_device(Device which, const DeviceKernels* (*find)(const char** why)) {
  finders[static_cast<int>(which)] = find;
}

const DeviceKernels* device_kernels(Device which, const char** why) {
  const char* reason = "";
  const auto find = finders[static_cast<int>(which)];
  const DeviceKernels* const found =
      find ? find(&reason) : find_in_module(which == Device::cuda ? "cuda" : "cuda-emulated", &reason);
  if (why) *why = found ? "" : reason;
  return found;
}

const DeviceKernels& current() { return *this_device; }
bool on_cpu() { return this_device == &cpu; }

DeviceScope::DeviceScope(const DeviceKernels& kernels) : before_(std::exchange(this_device, &kernels)) {}
DeviceScope::DeviceScope(Device which) : before_(this_device) {
  const char* why;
  const DeviceKernels* const found = device_kernels(which, &why);
  if (!found) throw Error(message("no device ", which == Device::cuda ? "cuda" : "cuda-emulated", ": ", why));
  this_device = found;
}
DeviceScope::~DeviceScope() { this_device = before_; }

}  // namespace meander::kernels
