#include <meander/kernels/cuda/device.cu>
