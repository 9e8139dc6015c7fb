#pragma once

#include <cstdint>

#include <meander/kernels/activation.h>

// The small network through which a flow network sees a time, float32, one row for each time t:
//   features = [cos(2 pi t w), sin(2 pi t w)]   [2 frequencies], w learnt or fixed
//   y        = Dense1(activation(Dense0(features)))
namespace meander::kernels {

// Sizes, and where each parameter lies in the network's flat buffer (offsets in floats).
struct EmbeddingShape {
  int64_t frequencies = 0, hidden = 0, width = 0;
  Activation activation = Activation::gelu;
  const float* fixed = nullptr;               // frequencies that are no parameters, on the device; null: learnt ones
  int64_t frequency = 0;                      // [frequencies], if learnt
  int64_t weight0 = 0, bias0 = 0;             // [2 frequencies, hidden], [hidden]
  int64_t weight1 = 0, bias1 = 0;             // [hidden, width], [width]
};

// What a forward pass keeps for the way back, and floats of scratch any function below needs.
struct EmbeddingTape {
  float *features, *sum, *activated;          // [rows, 2 frequencies], [rows, hidden] twice
};
constexpr int64_t embedding_tape_size(const EmbeddingShape& s, int64_t rows) {
  return rows * 2 * (s.frequencies + s.hidden);
}
constexpr EmbeddingTape embedding_tape(const EmbeddingShape& s, int64_t rows, float* tape) {
  float* const sum = tape + rows * 2 * s.frequencies;
  return {tape, sum, sum + rows * s.hidden};
}
int64_t embedding_workspace(const EmbeddingShape&, int64_t rows);

// t [rows] -> y [rows, width]. tape: null, or embedding_tape_size floats.
void embedding_forward(const EmbeddingShape&, const float* params, int64_t rows, const float* t, float* y, float* tape,
                       float* workspace);

// y, and dy [tangent_rows, width]: its derivative along dt [tangent_rows] for the LAST tangent_rows rows. y and tape are
// the same bits as embedding_forward's.
void embedding_value_and_tangent(const EmbeddingShape&, const float* params, int64_t rows, const float* t,
                                 int64_t tangent_rows, const float* dt, float* y, float* dy, float* tape,
                                 float* workspace);

// Adds the gradient of every parameter to dparams (same layout as params), from the cotangent dy [rows, width], at the t
// and tape of a forward pass.
void embedding_backward(const EmbeddingShape&, const float* params, int64_t rows, const float* t, const float* tape,
                        const float* dy, float* dparams, float* workspace);

}  // namespace meander::kernels
