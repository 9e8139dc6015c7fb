#include "kernels/cuda/dense.cu"
