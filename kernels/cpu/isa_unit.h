// What each of isa_arrays.cpp, isa_layers.cpp and isa_products.cpp begins with. These hold the kernels of the CPU and
// are compiled once for each instruction set, in a namespace named after it (see CMakeLists.txt). Nothing of another
// header is called there, and what is not local to one object stands in that namespace: a function compiled for a wide
// instruction set must never be the copy that a narrow machine links.
#pragma once

#include <cstdint>

#define MEANDER_PRAGMA(words) _Pragma(#words)
#if defined(__clang__)
#define MEANDER_UNROLL(times) MEANDER_PRAGMA(unroll times)
#else
#define MEANDER_UNROLL(times) MEANDER_PRAGMA(GCC unroll times)
// GCC 12 warns of its own AVX-512 header.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#define MEANDER_UNROLL_LANES MEANDER_UNROLL(4)

#if defined(__AVX512F__)
#include <immintrin.h>
#define MEANDER_VECTOR_BYTES 64
#elif defined(__AVX2__)
#include <immintrin.h>
#define MEANDER_VECTOR_BYTES 32
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#define MEANDER_VECTOR_BYTES 16
#endif

#include <meander/kernels/cpu/mlp_run.h>
#include <meander/kernels/cpu/table.h>
#include <meander/kernels/formulas/formula.h>

namespace meander::kernels {
using Size = int64_t;  // what kernels that run on smaller processors too count in (deploy/policy.cpp)
}
