#include "kernels/cuda/random.cu"
