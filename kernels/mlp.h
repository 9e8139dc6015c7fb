#pragma once

#include <cstdint>

#include <meander/kernels/mlp_shape.h>

// A whole multi-layer perceptron in one call, float32: hidden layers Dense -> LayerNorm -> activation (or as `norm`
// says), a linear last layer. A block of rows goes through all layers while it stays in cache.
namespace meander::kernels {

// What MlpProducts::prepared points at.
int64_t mlp_prepared_size(const MlpShape&);  // floats
void mlp_prepare(const MlpShape&, const float* params, Precision, float* prepared);

// Floats that mlp_forward writes to `tape` for mlp_backward, and floats of scratch any function below needs.
int64_t mlp_tape_size(const MlpShape&, int64_t rows);
int64_t mlp_workspace(const MlpShape&, int64_t rows);

// y [rows, out] = mlp(x [rows, in]). tape: null, or (float32 only) mlp_tape_size floats that keep what mlp_backward
// needs.
void mlp_forward(const MlpShape&, const float* params, int64_t rows, const float* x, float* y, float* tape,
                 float* workspace, const MlpProducts& = {});

// The network with a part of the first layer's sum given: row i has the inputs own[i] at first_input, ..., and its sum
// begins at start[i / group], which holds the bias and the share of all other inputs. own [rows, own_cols],
// start [rows / group, width[1]].
void mlp_forward_projected(const MlpShape&, const float* params, int64_t rows, int64_t own_cols, const float* own,
                           int64_t first_input, int64_t group, const float* start, float* y, float* workspace,
                           const MlpProducts& = {});

// The same network on rows that share inputs in groups of `group`: row i has the inputs
//   [own[i], shared[i / group]] if own_leads, else [shared[i / group], own[i]],
// own [rows, own_cols], shared [rows / group, width[0] - own_cols]. The shared part goes through the first layer once a
// group (its product is the start of the sum), so the result differs from mlp_forward by rounding only.
void mlp_forward_shared(const MlpShape&, const float* params, int64_t rows, int64_t own_cols, const float* own,
                        int64_t group, const float* shared, bool own_leads, float* y, float* workspace,
                        const MlpProducts& = {});

// For a network of one output: y [rows, 1] as mlp_forward_shared gives it, and gradient [rows, own_cols] = dy / d own,
// in one pass: what a block of rows keeps for the way back never leaves the cache.
void mlp_value_and_gradient_shared(const MlpShape&, const float* params, int64_t rows, int64_t own_cols,
                                   const float* own, int64_t group, const float* shared, bool own_leads, float* y,
                                   float* gradient, float* workspace);

// y = mlp(x), and dy [tangent_rows, out]: the derivative along dx [tangent_rows, in] for the LAST tangent_rows rows
// (0 <= tangent_rows <= rows). LayerNorm: dy = scale rstd (dz - mean(dz) - n mean(n dz)), n the normalised row.
// y and tape are the same bits as mlp_forward's.
void mlp_value_and_tangent(const MlpShape&, const float* params, int64_t rows, const float* x, int64_t tangent_rows,
                           const float* dx, float* y, float* dy, float* tape, float* workspace);

// y = mlp(x), and dy [rows directions, out]: its derivatives along several directions from each row, one below the
// other, dx [rows directions, dx_cols] of the inputs first_input, ...; the others stand still. The value is computed
// once.
void mlp_value_and_directions(const MlpShape&, const float* params, int64_t rows, const float* x, int64_t directions,
                              int64_t first_input, int64_t dx_cols, const float* dx, float* y, float* dy,
                              float* workspace);

// Pullback of mlp_forward at the x and tape of that call: adds the gradient of every parameter to dparams (same layout
// as params; null: not wanted) and writes dx [rows, in] (null: not wanted), from the cotangent dy [rows, out].
void mlp_backward(const MlpShape&, const float* params, int64_t rows, const float* x, const float* tape,
                  const float* dy, float* dx, float* dparams, float* workspace);

// Norm and activation of hidden layer `layer` alone, in place on z [rows, width[layer + 1]], the output of its dense
// layer. What a library of matrix products leaves to do; the functions above have it built in.
void mlp_finish_layer(const MlpShape&, const float* params, int layer, int64_t rows, float* z);

// The plain forms of a GPU, layer by layer with one thread a sum: to read, to compare with. A workspace of their own
// size.
int64_t mlp_reference_workspace(const MlpShape&, int64_t rows);
void mlp_forward_reference(const MlpShape&, const float* params, int64_t rows, const float* x, float* y, float* tape,
                           float* workspace, const MlpProducts&);
void mlp_value_and_tangent_reference(const MlpShape&, const float* params, int64_t rows, const float* x,
                                     int64_t tangent_rows, const float* dx, float* y, float* dy, float* tape,
                                     float* workspace);
void mlp_backward_reference(const MlpShape&, const float* params, int64_t rows, const float* x, const float* tape,
                            const float* dy, float* dx, float* dparams, float* workspace);

// The readable form of forward and tangent, float and double, one row at a time: tests hold the rest against it.
template <class T>
void mlp_reference(const MlpShape&, const T* params, int64_t rows, const T* x, const T* dx /* or null */, T* y, T* dy);

}  // namespace meander::kernels
