#include <meander/kernels/cuda/mlp_chain_forward.cu>
