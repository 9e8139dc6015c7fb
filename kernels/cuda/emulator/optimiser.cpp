#include <meander/kernels/cuda/optimiser.cu>
