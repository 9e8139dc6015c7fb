#include "kernels/cuda/mean_flow.cu"
