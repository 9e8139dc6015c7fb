#pragma once

#include <cstdint>

// One layer, from three plain loops to today's kernel: y = GELU(LayerNorm(x W + b) scale + shift), x [rows, in],
// W [in, out]. docs/ladder.md goes through the steps.
namespace meander::ladder {

struct Layer {
  int64_t rows, in, out;   // out: a multiple of 32
  const float *x, *weight, *bias, *scale, *shift;
  const float* packed;     // what pack_weights made of the weights, once for many calls
  float* y;
  float* z;                // [rows, out]
};
constexpr float eps = 1e-6f;

// Compiled as the library's common code is, for any processor of the kind: plain.cpp.
void plain_loops(const Layer&);
void weights_by_rows(const Layer&);
// Compiled for the processor at hand: wide.cpp.
void pack_weights(const Layer&, float* packed);   // in * out floats
void wide_vectors(const Layer&);
void own_exponential(const Layer&);
void small_tile(const Layer&);
void full_tile(const Layer&);
void packed_weights(const Layer&);
void while_in_cache(const Layer&);

}  // namespace meander::ladder
