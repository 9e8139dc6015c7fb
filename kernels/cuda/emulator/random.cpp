#include <meander/kernels/cuda/random.cu>
