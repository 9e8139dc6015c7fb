#include "kernels/device.h"

#include "core/error.h"

namespace meander::kernels {
namespace {

constexpr int devices = 3;
struct Entry {
  const DeviceKernels* (*find)(const char** why) = nullptr;
};
Entry entries[devices];
thread_local Device this_device = Device::cpu;
thread_local const DeviceKernels* these_kernels = nullptr;

const DeviceKernels* look(Device which, const char** why) {
  *why = which == Device::cpu ? "the CPU is no device" : "not compiled in";
  const Entry& e = entries[static_cast<int>(which)];
  return e.find ? e.find(why) : nullptr;
}

}  // namespace

void register_device(Device which, const DeviceKernels* (*find)(const char** why)) {
  entries[static_cast<int>(which)].find = find;
}

const DeviceKernels* device_kernels(Device which) {
  const char* why;
  return look(which, &why);
}

const char* why_not(Device which) {
  const char* why;
  return look(which, &why) ? "" : why;
}

Device device() { return this_device; }
const DeviceKernels* current_device() { return these_kernels; }

DeviceScope::DeviceScope(Device which) : before_(this_device) {
  const DeviceKernels* const found = device_kernels(which);
  if (which != Device::cpu && !found)
    throw Error(message("device ", which == Device::cuda ? "cuda" : "cuda-emulated", ": ", why_not(which)));
  this_device = which;
  these_kernels = found;
}

DeviceScope::~DeviceScope() {
  this_device = before_;
  these_kernels = device_kernels(before_);
}

}  // namespace meander::kernels
