#include <meander/kernels/cuda/losses.cu>
