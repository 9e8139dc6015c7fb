#pragma once

namespace meander::kernels {

struct DeviceKernels;

// The functions of the device, or null with the reason why there is none.
namespace cuda { const DeviceKernels* find(const char** why); }       // in the library meander_cuda
namespace emulated { const DeviceKernels* find(const char** why); }   // in the library meander_emulator

}  // namespace meander::kernels
