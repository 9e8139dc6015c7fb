#include <meander/kernels/cuda/mlp_layers.cu>
