#include "kernels/cuda/arrays.cu"
