#include "kernels/cuda/mlp.cu"
