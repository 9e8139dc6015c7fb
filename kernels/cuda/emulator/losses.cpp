#include "kernels/cuda/losses.cu"
