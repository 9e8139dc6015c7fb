#include <numbers>

#include <meander/core/elements.h>
#include <meander/core/operations.h>

namespace meander {
namespace {

using kernels::EmbeddingShape;

template <size_t N>
bool plain(const std::array<Value, N>& values) {
  return std::all_of(values.begin(), values.end(), [](const Value& v) { return v.plain(); });
}

// The float32 of fixed frequencies, which no derivative reaches.
Value frequencies(const EmbeddingShape& shape, Value params) {
  if (!shape.fixed) return parameter(params, shape.frequency, 1, shape.frequencies);
  const Tensor fixed = view(shape.fixed, 1, shape.frequencies);
  return params.dtype() == DType::float32 ? fixed : cast(fixed, params.dtype());
}

void check_input(const EmbeddingShape& shape, Tensor params, Tensor t) {
  if (t.cols != 1 || params.rows != 1 || params.cols < shape.bias1 + shape.width)
    throw Error(message("time_embedding: times ", detail::shape(t), " and parameters ", detail::shape(params),
                        " do not fit the network"));
}

// A tape, and scratch for a call on `rows` rows.
Tensor empty_tape(const EmbeddingShape& shape, int64_t rows) { return empty(1, embedding_tape_size(shape, rows)); }
float* workspace(const EmbeddingShape& shape, int64_t rows) {
  return empty(1, kernels::current().embedding_workspace(shape, rows)).f32();
}

// The gradient by the parameters: kernels::embedding_backward at what the forward pass kept.
void pull_back_fused(const EmbeddingShape& shape, Value t, Value params, Value tape, Value dy, Cotangents c) {
  const bool in_place = c.in_place(1);
  const Tensor dparams = in_place ? c.accumulator(1) : zeros(1, params.cols());
  {
    ArenaScope scope;
    kernels::current().embedding_backward(shape, params.detached.f32(), t.rows(), t.detached.f32(), tape.detached.f32(),
                                          dy.detached.f32(), dparams.f32(), workspace(shape, t.rows()));
  }
  if (!in_place) c.add(1, dparams);
}

// (y, dy) = the embedding at t and its derivative along dt, in one pass; dt may belong to the last rows only.
// Composite: jvp of time_embedding_composite.
struct EmbeddingAndTangent {
  EmbeddingShape shape;
  bool keep = false;
  static constexpr int inputs = 3, outputs = 3;   // t, params, dt -> y, dy, tape
  static constexpr unsigned row_inputs = 0;

  static Values<2> composite(const EmbeddingShape& shape, Value t, Value params, Value dt) {
    const auto [y, dy] = jvp([&](Value t) { return time_embedding_composite(shape, params, t); }, {t}, {dt});
    return {y, dy};
  }
  Tensors<3> value(Tensors<3> in) const {
    const auto [t, params, dt] = in;
    check_input(shape, params, t);
    const Tensor y = empty(t.rows, shape.width), dy = empty(dt.rows, shape.width);
    const Tensor tape = keep ? empty_tape(shape, t.rows) : Tensor();
    ArenaScope scope;
    kernels::current().embedding_value_and_tangent(shape, params.f32(), t.rows, t.f32(), dt.rows, dt.f32(), y.f32(),
                                                   dy.f32(), keep ? tape.f32() : nullptr, workspace(shape, t.rows));
    return {y, dy, tape};
  }
  Values<3> pushforward(Values<3> in, Values<3>, Values<3> d) const {
    const auto [out, tangent] =
        jvp([&](Value t, Value params, Value dt) { return composite(shape, t, params, dt); }, {in[0], in[1], in[2]},
            {d[0], d[1], d[2]});
    return {tangent[0], tangent[1], Value()};
  }
  void pullback(Values<3> in, Values<3> out, Values<3> dy, Cotangents c) const {
    if (!dy[1] && !c.wants(0) && plain(in) && plain(dy)) return pull_back_fused(shape, in[0], in[1], out[2], dy[0], c);
    const auto v = vjp([&](Value t, Value params, Value dt) { return composite(shape, t, params, dt); },
                       {in[0], in[1], in[2]});
    const auto cotangent = v.pull({dy[0], dy[1]});
    for (int i : {0, 1, 2}) c.add(i, cotangent[i]);
  }
};

// y = the embedding at t. Composite: time_embedding_composite, which also serves a gradient by t.
struct Embedding {
  EmbeddingShape shape;
  bool keep = false;
  static constexpr int inputs = 2, outputs = 2;   // t, params -> y, tape
  static constexpr unsigned row_inputs = 0b01;

  Tensors<2> value(Tensors<2> in) const {
    const auto [t, params] = in;
    check_input(shape, params, t);
    const Tensor y = empty(t.rows, shape.width), tape = keep ? empty_tape(shape, t.rows) : Tensor();
    ArenaScope scope;
    kernels::current().embedding_forward(shape, params.f32(), t.rows, t.f32(), y.f32(), keep ? tape.f32() : nullptr,
                                         workspace(shape, t.rows));
    return {y, tape};
  }
  std::pair<Values<2>, Values<2>> value_and_tangent(Values<2> in, Values<2> d) const {
    if (d[1]) {  // along the parameters: no fused rule
      const auto [y, dy] = jvp([&](Value t, Value params) { return time_embedding_composite(shape, params, t); },
                               {in[0], in[1]}, {d[0], d[1]});
      return {Values<2>{y}, Values<2>{dy}};
    }
    const auto out = perform(EmbeddingAndTangent{shape}, {in[0], in[1], d[0]});
    return {Values<2>{out[0]}, Values<2>{out[1]}};
  }
  Values<2> pushforward(Values<2>, Values<2>, Values<2>) const { return {}; }  // value_and_tangent serves
  void pullback(Values<2> in, Values<2> out, Values<2> dy, Cotangents c) const {
    if (!c.wants(0) && plain(in) && plain(dy)) return pull_back_fused(shape, in[0], in[1], out[1], dy[0], c);
    const auto v = vjp([&](Value t, Value params) { return time_embedding_composite(shape, params, t); },
                       {in[0], in[1]});
    const auto cotangent = v.pull({dy[0]});
    for (int i : {0, 1}) c.add(i, cotangent[i]);
  }
};

}  // namespace

Value fourier_features(Value t, Value frequencies) {
  const Value angle = (t * (2 * std::numbers::pi)) * frequencies;
  return concat_columns(cos(angle), sin(angle));
}

Value time_embedding_composite(const EmbeddingShape& shape, Value params, Value t) {
  check_input(shape, params.detached, t.detached);
  const auto layer = [&](Value x, int64_t weight, int64_t bias, int64_t in, int64_t out) {
    return dense(x, parameter(params, weight, in, out), parameter(params, bias, 1, out));
  };
  const Value features = fourier_features(t, frequencies(shape, params));
  const Value sum = layer(features, shape.weight0, shape.bias0, 2 * shape.frequencies, shape.hidden);
  const Value activated = activate(shape.activation, sum);
  return layer(activated, shape.weight1, shape.bias1, shape.hidden, shape.width);
}

Value time_embedding(const EmbeddingShape& shape, Value params, Value t) {
  if (t.dtype() != DType::float32) return time_embedding_composite(shape, params, t);
  return perform(Embedding{shape}, {t, params})[0];
}

}  // namespace meander
