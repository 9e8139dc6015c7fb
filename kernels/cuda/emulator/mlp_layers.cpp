#include "kernels/cuda/mlp_layers.cu"
