#include <meander/kernels/cuda/replay.cu>
