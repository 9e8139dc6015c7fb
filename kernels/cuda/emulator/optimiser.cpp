#include "kernels/cuda/optimiser.cu"
