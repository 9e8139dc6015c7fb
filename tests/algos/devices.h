#pragma once

#include <vector>

#include <meander/kernels/cuda/devices.h>
#include <meander/kernels/device.h>

namespace meander::testing {

// The emulator and, where there is one, a GPU.
inline std::vector<const kernels::DeviceKernels*> devices() {
  kernels::emulated::register_emulator();
#if defined(MEANDER_WITH_CUDA)
  kernels::cuda::register_cuda();
#endif
  std::vector<const kernels::DeviceKernels*> all;
  for (const auto device : {kernels::Device::cuda_emulated, kernels::Device::cuda})
    if (const auto* found = kernels::device_kernels(device)) all.push_back(found);
  return all;
}

}  // namespace meander::testing
