#include <meander/kernels/cuda/rows.cu>
