#include "kernels/cuda/mfpo.cu"
