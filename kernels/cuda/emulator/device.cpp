#include "kernels/cuda/device.cu"
