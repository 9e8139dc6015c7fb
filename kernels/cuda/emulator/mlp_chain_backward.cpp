#include <meander/kernels/cuda/mlp_chain_backward.cu>
