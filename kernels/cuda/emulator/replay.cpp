#include "kernels/cuda/replay.cu"
