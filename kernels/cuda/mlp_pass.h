#pragma once

#include <meander/kernels/cuda/kernels.h>

// What the forms of a multi-layer perceptron on a device share: mlp_layers.cu, layer by layer, and mlp_chain.cu, all
// layers in one kernel.
namespace meander::kernels::MEANDER_CUDA {

// Rows of numbers that kernels write begin at multiples of 16 bytes.
__host__ __device__ inline int64_t pitch_of(int64_t width) { return (width + 3) / 4 * 4; }

// The tape of hidden layer `layer`: kept [rows, pitch_of(width)] (the normalised rows if the norm stands before the
// activation, else the output of the dense layer), then 1 / sqrt(var + eps) and the mean of each row.
struct TapeLayer {
  float* kept = nullptr;
  float* rstd = nullptr;
  float* mean = nullptr;
};
inline int64_t tape_layer_size(int64_t width, int64_t rows) { return rows * pitch_of(width) + 2 * pitch_of(rows); }
// Beginning at row `first`.
inline TapeLayer tape_layer(const MlpShape& shape, int layer, int64_t rows, float* tape, int64_t first = 0) {
  if (!tape) return {};
  for (int l = 0; l < layer; ++l) tape += tape_layer_size(shape.width[l + 1], rows);
  const int64_t pitch = pitch_of(shape.width[layer + 1]);
  float* const rstd = tape + rows * pitch + first;
  return {tape + first * pitch, rstd, rstd + pitch_of(rows)};
}
inline int64_t tape_size(const MlpShape& shape, int64_t rows) {
  int64_t size = 0;
  for (int l = 0; l + 1 < shape.layers; ++l) size += tape_layer_size(shape.width[l + 1], rows);
  return size;
}

// One forward pass; null: not wanted.
struct ForwardPass {
  const MlpShape* shape = nullptr;
  const float* params = nullptr;
  int64_t rows = 0;
  // x [rows, x_cols] meets the rows first_input, ... of the first weight. With `start` the first layer's sum of row i
  // begins at start[(first_row + i) / group], [.., width[1]], else at the bias.
  const float* x = nullptr;
  int64_t x_cols = 0, first_input = 0;
  const float* start = nullptr;
  int64_t group = 1, first_row = 0;
  float* y = nullptr;
  float* tape = nullptr;
  // Tangents of the last tangent_rows rows, `directions` of each one below the other, dx [.., dx_cols] along the inputs
  // first_dx, ...
  int64_t tangent_rows = 0, directions = 1;
  const float* dx = nullptr;
  int64_t dx_cols = 0, first_dx = 0;
  float* dy = nullptr;
};

// One pass back: from dy [rows, out] to dx [rows, dx_cols], the gradient by the inputs first_input, ..., and to
// dparams, to which it adds.
struct BackwardPass {
  const MlpShape* shape = nullptr;
  const float* params = nullptr;
  int64_t rows = 0;
  const float* x = nullptr;    // [rows, width[0]], for dparams alone
  float* tape = nullptr;       // of a forward pass of tape_rows rows, of which these begin at first_row; only read
  int64_t tape_rows = 0, first_row = 0;
  const float* dy = nullptr;
  float* dx = nullptr;
  int64_t dx_cols = 0, first_input = 0;
  float* dparams = nullptr;
};

// ---- mlp_layers.cu: any width; `plain` for the readable form, with one thread a sum ---------------------------------
int64_t layers_workspace(const MlpShape&, int64_t rows);   // rows with and without tangents, together
void layers_forward(const ForwardPass&, float* workspace, bool plain);
void layers_backward(const BackwardPass&, float* workspace, bool plain);

// ---- mlp_chain_forward.cu, mlp_chain_backward.cu: all layers in one kernel, hidden widths up to 512 -----------------
bool chain_fits(const MlpShape&);
int64_t few_rows();    // up to which tiles are small, and
int64_t some_rows();   // up to which they are not large
// Weights of the layers from 1 on in the form the products take fastest, once for many passes.
int64_t chain_prepared_size(const MlpShape&);
void chain_prepare(const MlpShape&, const float* params, Precision, float* prepared);
// prepared: null, or of chain_prepare in that precision, which bfloat16 needs.
void chain_forward(const ForwardPass&, Precision, const float* prepared);
// `pass` with a tape, of a network with one output; gradient [rows, x_cols].
void chain_value_and_gradient(const ForwardPass& pass, float* gradient);
int64_t chain_backward_workspace(const MlpShape&, int64_t rows);
void chain_backward(const BackwardPass&, float* workspace);

// The next multiple of 16 bytes.
inline float* aligned(float* p) { return reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(p) + 15) / 16 * 16); }

}  // namespace meander::kernels::MEANDER_CUDA
