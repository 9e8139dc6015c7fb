#pragma once

// The headers of this folder state a formula once for all devices. They are written over V, a number of float32 or a
// vector of them, and I, as many int32, with the operators and the few functions that kernels/cpu/vector.h (V a vector)
// and kernels/cuda/formulas.h (V a float) define. Each device includes them inside a namespace of its own, hence no
// `#pragma once` in them. As all they use is rounded exactly, the results have the same bits everywhere.
#if defined(__CUDACC__)
#define MEANDER_FORMULA static __device__ inline
#define MEANDER_FORMULA_ANYWHERE static __host__ __device__ inline   // what the host calls too
#else
#define MEANDER_FORMULA static inline
#define MEANDER_FORMULA_ANYWHERE static inline
#endif
