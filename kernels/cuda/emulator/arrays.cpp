#include <meander/kernels/cuda/arrays.cu>
