#include <meander/kernels/cuda/elementwise.cu>
