#include "kernels/cuda/kernels.h"

namespace meander::kernels::MEANDER_CUDA {

void add_optimiser(DeviceKernels&) {}

}  // namespace meander::kernels::MEANDER_CUDA
