#include <meander/kernels/cuda/dense.cu>
