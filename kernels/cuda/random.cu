#include "kernels/cuda/kernels.h"

namespace meander::kernels::MEANDER_CUDA {

void add_random(DeviceKernels&) {}

}  // namespace meander::kernels::MEANDER_CUDA
