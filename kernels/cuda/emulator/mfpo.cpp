#include <meander/kernels/cuda/mfpo.cu>
