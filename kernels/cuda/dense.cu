#include "kernels/cuda/kernels.h"

namespace meander::kernels::MEANDER_CUDA {

void add_products(DeviceKernels&) {}

}  // namespace meander::kernels::MEANDER_CUDA
