#include <meander/kernels/cuda/embedding.cu>
