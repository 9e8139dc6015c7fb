#pragma once

#include <vector>

#include <meander/kernels/cuda/devices.h>
#include <meander/kernels/device.h>

namespace meander::testing {

// The emulator, which this program holds, and a GPU where there is one and its module was built.
inline std::vector<const kernels::DeviceKernels*> devices() {
  kernels::register_device(kernels::Device::cuda_emulated, kernels::emulated::find);
  std::vector<const kernels::DeviceKernels*> all;
  for (const auto device : {kernels::Device::cuda_emulated, kernels::Device::cuda})
    if (const auto* found = kernels::device_kernels(device)) all.push_back(found);
  return all;
}

}  // namespace meander::testing
