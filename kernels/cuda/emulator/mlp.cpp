#include <meander/kernels/cuda/mlp.cu>
