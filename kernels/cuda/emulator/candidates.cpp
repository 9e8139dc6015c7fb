#include <meander/kernels/cuda/candidates.cu>
