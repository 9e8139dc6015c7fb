#include <meander/kernels/cuda/mean_flow.cu>
