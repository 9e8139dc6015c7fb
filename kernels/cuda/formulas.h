#pragma once

#include <meander/kernels/activation.h>
#include <meander/kernels/cuda/cuda.h>
#include <meander/kernels/formulas/formula.h>
#include <meander/kernels/optimiser.h>

// kernels/formulas for one number a thread: the counterpart of kernels/cpu/vector.h and all that is written over it.
// Needs --fmad=false, so that the bits are the CPU's; only the bits of a NaN are the device's own.
namespace meander::kernels::MEANDER_CUDA {

using V = float;
using I = int32_t;

MEANDER_FORMULA V broadcast(float x) { return x; }
MEANDER_FORMULA I broadcast_int(int32_t x) { return x; }
MEANDER_FORMULA V fma(V a, V b, V c) { return fmaf(a, b, c); }
MEANDER_FORMULA V sqrt(V a) { return sqrtf(a); }
MEANDER_FORMULA V minimum(V a, V b) { return a < b ? a : b; }   // the second where either is NaN
MEANDER_FORMULA V maximum(V a, V b) { return a > b ? a : b; }
MEANDER_FORMULA I as_int(V v) { return __float_as_int(v); }
MEANDER_FORMULA V as_float(I v) { return __int_as_float(v); }
MEANDER_FORMULA V to_float(I x) { return static_cast<float>(x); }
MEANDER_FORMULA I wrapping_add(I a, I b) { return static_cast<I>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b)); }
MEANDER_FORMULA I low_product(I x, uint32_t m) { return static_cast<I>(static_cast<uint32_t>(x) * m); }
MEANDER_FORMULA I multiply_high(I x, uint32_t m) { return static_cast<I>(__umulhi(static_cast<uint32_t>(x), m)); }
MEANDER_FORMULA V absolute(V a) { return as_float(as_int(a) & 0x7fffffff); }
MEANDER_FORMULA V copy_sign(V magnitude, V sign) {
  return as_float((as_int(magnitude) & 0x7fffffff) | (as_int(sign) & static_cast<int32_t>(0x80000000)));
}

#include <meander/kernels/formulas/elementary.h>
#include <meander/kernels/formulas/activations.h>
#include <meander/kernels/formulas/grid.h>
#include <meander/kernels/formulas/optimiser.h>
#include <meander/kernels/formulas/random.h>
#include <meander/kernels/formulas/truncated_normal.h>

}  // namespace meander::kernels::MEANDER_CUDA
