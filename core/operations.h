#pragma once

#include <meander/core/autodiff.h>
#include <meander/kernels/embedding.h>
#include <meander/kernels/mlp_shape.h>

// The differentiable operations. Each is stated with its pushforward and pullback in the .cpp named in its section; here
// is what it computes. Shapes are [rows, cols]. All take float32 or float64 (one dtype a call) and throw Error where
// shapes do not fit. An absent Value is zero: it vanishes from a sum and makes a product absent.
namespace meander {

// ---- arithmetic.cpp: broadcasting; rows and cols of a and b are equal or 1 -----------------------------------------
Value add(Value a, Value b);
Value subtract(Value a, Value b);
Value multiply(Value a, Value b);
Value divide(Value a, Value b);
Value minimum(Value a, Value b);                       // the derivative of a tie goes to b
Value maximum(Value a, Value b);                       // likewise
Value select(Value mask, Value a, Value b);            // mask != 0 ? a : b; no derivative by the mask
Value less(Value a, Value b);                          // a < b as 1 or 0; without derivative
Value affine(Value x, double scale, double offset);    // scale x + offset
Value add_scaled(Value a, double scale, Value b);      // a + scale b
Value mix(Value t, Value a, Value b);                  // (1 - t) a + t b, t [n, 1]

inline Value operator+(Value a, Value b) { return add(a, b); }
inline Value operator-(Value a, Value b) { return subtract(a, b); }
inline Value operator*(Value a, Value b) { return multiply(a, b); }
inline Value operator/(Value a, Value b) { return divide(a, b); }
inline Value operator-(Value a) { return affine(a, -1, 0); }
inline Value operator+(Value a, double b) { return affine(a, 1, b); }
inline Value operator-(Value a, double b) { return affine(a, 1, -b); }
inline Value operator*(Value a, double b) { return affine(a, b, 0); }
inline Value operator/(Value a, double b) { return affine(a, 1 / b, 0); }
inline Value operator+(double a, Value b) { return affine(b, 1, a); }
inline Value operator-(double a, Value b) { return affine(b, -1, a); }
inline Value operator*(double a, Value b) { return affine(b, a, 0); }

// ---- pointwise.cpp ---------------------------------------------------------------------------------------------------
Value exp(Value x);
Value log(Value x);
Value sqrt(Value x);
Value sin(Value x);
Value cos(Value x);
Value tanh(Value x);
Value sigmoid(Value x);                                // 1 / (1 + exp(-x))
Value relu(Value x);                                   // max(x, 0); slope 0 at 0
Value gelu(Value x);                                   // 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
Value mish(Value x);                                   // x tanh(log(1 + exp(x)))
Value activate(kernels::Activation, Value x);          // those of kernels/activation.h
Value clip(Value x, double low, double high);          // slope 1 inside the bounds, both included, else 0
Value square(Value x);

// ---- reduce.cpp ------------------------------------------------------------------------------------------------------
Value sum_row(Value x);                                // [n, m] -> [n, 1]
Value sum_column(Value x);                             // [n, m] -> [1, m]
Value sum_all(Value x);                                // -> [1, 1]
Value mean_row(Value x);
Value mean_column(Value x);
Value mean_all(Value x);
Value broadcast_to(Value x, int64_t rows, int64_t cols);  // repeats the rows and cols that are 1
Value sum_to(Value x, int64_t rows, int64_t cols);        // its transpose: sums the rows, the cols that become 1
Value repeat_rows(Value x, int64_t times);             // [n, m] -> [n times, m], each row `times` times in a row
Value sum_groups(Value x, int64_t size);               // its transpose: sums each `size` consecutive rows

// ---- shape.cpp -------------------------------------------------------------------------------------------------------
Value concat_columns(Value a, Value b);                // [a, b]; a row count of 1 is broadcast
Value concat_columns(Value a, Value b, Value c);       // [a, b, c], likewise
Value slice_columns(Value x, int64_t first, int64_t count);
Value pad_columns(Value x, int64_t first, int64_t cols);  // the transpose: zeros around
Value slice_rows(Value x, int64_t first, int64_t count);
Value pad_rows(Value x, int64_t first, int64_t rows);
Value reshape(Value x, int64_t rows, int64_t cols);
// A [rows, cols] parameter inside a flat buffer [1, n] from element `offset` on; its cotangent is added to the buffer's
// in place.
Value parameter(Value flat, int64_t offset, int64_t rows, int64_t cols);
Value embed(Value x, int64_t offset, int64_t size);    // the transpose: x inside a [1, size] buffer of zeros
// int32 [n, 1]: the column of the largest, the first on a tie, plus row row_step: with x.cols() the place in x.
Tensor argmax_row(Tensor x, int64_t row_step = 0);
Value gather_row(Value x, Tensor column);              // y[i] = x[i, column[i]], [n, 1]
Value gather_rows(Value x, Tensor row);                // y[i] = x[row[i]], int32 row [n, 1]

// ---- product.cpp -----------------------------------------------------------------------------------------------------
Value product(Value a, Value b);                       // a b
Value product_nt(Value a, Value b);                    // a b'
Value product_tn(Value a, Value b);                    // a' b
Value dense(Value x, Value weight, Value bias);        // x W + b; x [n, in], W [in, out], b [1, out]

// ---- normalise.cpp ---------------------------------------------------------------------------------------------------
Values<2> normalise(Value x, double eps);              // { (x - mean) rstd, rstd } by row, rstd = 1 / sqrt(variance + eps)
Value layer_norm(Value x, Value scale, Value shift, double eps = kernels::layer_norm_eps);

// ---- distribution.cpp ------------------------------------------------------------------------------------------------
Value softmax(Value x);                                // by row
Value log_sum_exp(Value x);                            // by row, [n, 1]
Value log_softmax(Value x);
// [n, 1] = sum_j softmax(x)_j value_j, value [1, m].
Value softmax_expectation(Value x, Value value);
// Mean over the rows of -sum_j target_j log softmax(logits)_j.
Value cross_entropy(Value target, Value logits);
// Mean over all elements of (a - b)^2.
Value mean_squared_error(Value a, Value b);
// log N(x; 0, I) of each row, [n, 1].
Value normal_log_prob(Value x);
// C51 projection of the masses prob at the positions where on linspace(v_min, v_max, cols): kernels/rows.h. Linear in
// prob; throws Error if where has a derivative.
Value c51_project(Value prob, Value where, double v_min, double v_max);
// y with Phi(y) = (1 - f) Phi(lower) + f Phi(upper): kernels/truncated_normal.h. All of one shape.
Value truncated_normal(Value lower, Value upper, Value f);

// ---- embedding.cpp ---------------------------------------------------------------------------------------------------
// [cos(2 pi t w), sin(2 pi t w)], t [n, 1], learnable frequencies w [1, k] -> [n, 2 k].
Value fourier_features(Value t, Value frequencies);
// The small network of a time t [n, 1], params the flat buffer: kernels/embedding.h. Fused: value, value and tangent in
// one pass (also for tangents of the last rows only), and the gradient by the parameters; all else is derived from the
// composite.
Value time_embedding(const kernels::EmbeddingShape&, Value params, Value t);
Value time_embedding_composite(const kernels::EmbeddingShape&, Value params, Value t);

// ---- network.cpp -----------------------------------------------------------------------------------------------------
// A whole multi-layer perceptron, params its flat buffer [1, n]: kernels/mlp.h. Fused: value, value and tangent in one
// pass (also for tangents of the last rows only), and pullback; whatever else is asked for is derived from the composite.
Value mlp(const kernels::MlpShape&, Value params, Value x);
Value mlp_composite(const kernels::MlpShape&, Value params, Value x);
// (mlp(x) [n, out], its derivatives [n K, out] along K directions from each row, dx [n K, m] of the inputs first_input,
// ...). Fused without derivatives of its own, else the composite: jvp at each row repeated.
std::pair<Value, Value> mlp_directions(const kernels::MlpShape&, Value params, Value x, int64_t first_input, Value dx);
std::pair<Value, Value> mlp_directions_composite(const kernels::MlpShape&, Value params, Value x, int64_t first_input,
                                                 Value dx);
// The same with a part of the first layer's sum given: own are the inputs first_input, ...; start [rows / K, width[1]]
// holds the bias and the share of the other inputs, each row for K rows of own. Fused without derivatives, else the
// composite, which knows float32 only.
Value mlp_projected(const kernels::MlpShape&, Value params, Value own, int64_t first_input, Value start,
                    const kernels::MlpProducts& = {});
Value mlp_projected_composite(const kernels::MlpShape&, Value params, Value own, int64_t first_input, Value start);
// The same on inputs of which a group of rows shares a part: kernels/mlp.h, mlp_forward_shared. Fused without
// derivatives, else the composite, which knows float32 only.
Value mlp_shared(const kernels::MlpShape&, Value params, Value own, Value shared, bool own_leads,
                 const kernels::MlpProducts& = {});
Value mlp_shared_composite(const kernels::MlpShape&, Value params, Value own, Value shared, bool own_leads);
// (y [n, 1], dy / down [n, own]) of such a network with one output. Fused without derivatives of its own, else the
// composite: vjp of mlp_shared.
std::pair<Value, Value> mlp_shared_gradient(const kernels::MlpShape&, Value params, Value own, Value shared,
                                            bool own_leads);
std::pair<Value, Value> mlp_shared_gradient_composite(const kernels::MlpShape&, Value params, Value own, Value shared,
                                                      bool own_leads);

}  // namespace meander
