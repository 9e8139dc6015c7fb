#include "kernels/cuda/candidates.cu"
