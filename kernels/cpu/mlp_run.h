#pragma once

#include <cstdint>

#include <meander/kernels/cpu/table.h>
#include <meander/kernels/mlp.h>

namespace meander::kernels {

// One call of a multi-layer perceptron as its range kernels see it: all rows; null: not wanted.
struct MlpRun {
  const MlpShape* shape = nullptr;
  const float* params = nullptr;
  int64_t rows = 0;                              // of the whole call
  IsaMatrix weight[MlpShape::max_layers];        // ready for products
  const uint32_t* half[MlpShape::max_layers] = {};  // of mlp_values_bfloat16: packed pairs, from layer 1 on
  // Input. With `start` the first layer's sum begins at row i / group of start [rows / group, width[1]] instead of the
  // bias, and x holds only the columns of the matrix weight[0] (x_cols).
  const float* x = nullptr;
  int64_t x_cols = 0;
  const float* start = nullptr;
  int64_t group = 1;
  float* y = nullptr;
  float* tape = nullptr;
  // Tangents of the last tangent_rows rows, `directions` of each one below the other: dx [tangent_rows directions,
  // dx_cols] along the inputs that meet the rows of dx_weight, dy [tangent_rows directions, out].
  int64_t tangent_rows = 0, directions = 1, dx_cols = 0;
  IsaMatrix dx_weight;
  const float* dx = nullptr;
  float* dy = nullptr;
  // Gradient [rows, x_cols] of the one output by x.
  IsaMatrix transposed[MlpShape::max_layers];    // of the weights, ready for products
  float* gradient = nullptr;
};

// The tape: for each hidden layer a matrix [rows, width] (the normalised rows if the norm stands before the activation,
// else the output of the dense layer), then 1 / sqrt(var + eps) and the mean of each row, [rows] each.
struct MlpTape {
  float* kept = nullptr;
  float* rstd = nullptr;
  float* mean = nullptr;
};
static inline int64_t mlp_tape_layer(int64_t width, int64_t rows) { return rows * (width + 2); }

// Pullback through norm and activation of one hidden layer, for a range of its rows (pointers at the first of them).
struct MlpLayerPullback {
  Activation activation;
  Norm norm;
  int64_t cols;
  const float* scale;
  const float* shift;
  MlpTape tape;
  const float* dh;    // cotangent of the layer's output
  float* dz;          // -> cotangent of the dense layer's output; may be dh
  float* h;           // -> the layer's output, recomputed; null: not wanted
  float* dshift;      // -> per row and column, to be summed over the rows: dshift = sum dshift, dscale = sum dscale
  float* dscale;      //    null: not wanted
};

}  // namespace meander::kernels
