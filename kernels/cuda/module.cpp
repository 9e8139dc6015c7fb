// The one thing a device's module exports. Compiled with the module, MEANDER_DEVICE is the namespace of its kernels.
#include <cstring>

#include <meander/kernels/cuda/devices.h>
#include <meander/kernels/device.h>
#include <meander/kernels/modules.h>

namespace meander::kernels {

extern "C" __attribute__((visibility("default"))) FindDevice meander_find_device;

const DeviceKernels* meander_find_device(unsigned long table, const char* version, const char** why) {
  if (table != sizeof(DeviceKernels) || std::strcmp(version, MEANDER_VERSION) != 0) {
    *why = "its module was built with another version of the program (this one is " MEANDER_VERSION
           "'s): build it anew";
    return nullptr;
  }
  return MEANDER_DEVICE::find(why);
}

}  // namespace meander::kernels
