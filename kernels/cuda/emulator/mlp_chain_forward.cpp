#include "kernels/cuda/mlp_chain_forward.cu"
