#include <meander/core/elements.h>
#include <meander/core/operations.h>

namespace meander {
namespace {

using kernels::MlpShape;
using kernels::Norm;

template <size_t N>
bool plain(const std::array<Value, N>& values) {
  return std::all_of(values.begin(), values.end(), [](const Value& v) { return v.plain(); });
}

float* workspace(const MlpShape& shape, int64_t rows) {
  return empty(1, kernels::current().mlp_workspace(shape, rows)).f32();
}

void check_parameters(const MlpShape& shape, Tensor params) {
  const int last = shape.layers - 1;
  if (params.rows != 1 || params.cols < shape.bias[last] + shape.width[last + 1])
    throw Error(message("mlp: parameters ", detail::shape(params), " are too few for the network"));
}

void check_input(const MlpShape& shape, Tensor params, Tensor x) {
  if (x.cols != shape.width[0])
    throw Error(message("mlp: ", x.cols, " input columns, the network takes ", shape.width[0]));
  check_parameters(shape, params);
}

void check_shared(const char* operation, const MlpShape& shape, Tensor own, Tensor shared) {
  if (own.cols + shared.cols != shape.width[0] || shared.rows == 0 || own.rows % shared.rows != 0)
    throw Error(message(operation, ": own ", detail::shape(own), " and shared ", detail::shape(shared),
                        " do not fit ", shape.width[0], " inputs"));
}

// Gradients of the fused network: kernels::mlp_backward at the saved activations.
void pull_back_fused(const MlpShape& shape, Value x, Value params, Value tape, Value dy, Cotangents c) {
  const bool in_place = c.wants(1) && c.in_place(1);
  const Tensor dparams = in_place ? c.accumulator(1) : c.wants(1) ? zeros(1, params.cols()) : Tensor();
  const Tensor dx = c.wants(0) ? empty(x.rows(), x.cols()) : Tensor();
  {
    ArenaScope scope;
    kernels::current().mlp_backward(shape, params.detached.f32(), x.rows(), x.detached.f32(), tape.detached.f32(),
                                    dy.detached.f32(), dx ? dx.f32() : nullptr, dparams ? dparams.f32() : nullptr,
                                    workspace(shape, x.rows()));
  }
  c.add(0, dx);
  if (!in_place) c.add(1, dparams);
}

// (y, dy) = the network at x and its derivative along dx, in one pass; dx may belong to the last rows only.
// Composite: jvp of mlp_composite.
struct MlpValueAndTangent {
  MlpShape shape;
  bool keep = false;
  static constexpr int inputs = 3, outputs = 3;   // x, params, dx -> y, dy, tape
  static constexpr unsigned row_inputs = 0;

  static Values<2> composite(const MlpShape& shape, Value x, Value params, Value dx) {
    const auto [y, dy] = jvp([&](Value x) { return mlp_composite(shape, params, x); }, {x}, {dx});
    return {y, dy};
  }
  Tensors<3> value(Tensors<3> in) const {
    const auto [x, params, dx] = in;
    check_input(shape, params, x);
    const int64_t out = shape.width[shape.layers];
    const Tensor y = empty(x.rows, out), dy = empty(dx.rows, out);
    const Tensor tape = keep ? empty(1, kernels::current().mlp_tape_size(shape, x.rows)) : Tensor();
    ArenaScope scope;
    kernels::current().mlp_value_and_tangent(shape, params.f32(), x.rows, x.f32(), dx.rows, dx.f32(), y.f32(), dy.f32(),
                                   keep ? tape.f32() : nullptr, workspace(shape, x.rows + dx.rows));
    return {y, dy, tape};
  }
  Values<3> pushforward(Values<3> in, Values<3>, Values<3> d) const {
    const auto [out, tangent] =
        jvp([&](Value x, Value params, Value dx) { return composite(shape, x, params, dx); },
            {in[0], in[1], in[2]}, {d[0], d[1], d[2]});
    return {tangent[0], tangent[1], Value()};
  }
  // The activations of the one pass serve the gradient through y; a gradient through dy needs second derivatives and
  // takes the composite. Which of the two is known only here.
  void pullback(Values<3> in, Values<3> out, Values<3> dy, Cotangents c) const {
    if (!dy[1] && plain(in) && plain(dy)) return pull_back_fused(shape, in[0], in[1], out[2], dy[0], c);
    const auto v = vjp([&](Value x, Value params, Value dx) { return composite(shape, x, params, dx); },
                       {in[0], in[1], in[2]});
    const auto cotangent = v.pull({dy[0], dy[1]});
    for (int i : {0, 1, 2}) c.add(i, cotangent[i]);
  }
};

// y = the whole network at x. Composite: mlp_composite.
struct Mlp {
  MlpShape shape;
  bool keep = false;
  static constexpr int inputs = 2, outputs = 2;   // x, params -> y, tape
  static constexpr unsigned row_inputs = 0b01;

  Tensors<2> value(Tensors<2> in) const {
    const auto [x, params] = in;
    check_input(shape, params, x);
    const Tensor y = empty(x.rows, shape.width[shape.layers]);
    const Tensor tape = keep ? empty(1, kernels::current().mlp_tape_size(shape, x.rows)) : Tensor();
    ArenaScope scope;
    kernels::current().mlp_forward(shape, params.f32(), x.rows, x.f32(), y.f32(), keep ? tape.f32() : nullptr,
                                   workspace(shape, x.rows), {});
    return {y, tape};
  }
  std::pair<Values<2>, Values<2>> value_and_tangent(Values<2> in, Values<2> d) const {
    if (d[1]) {  // along the parameters: no fused rule
      const auto [y, dy] = jvp([&](Value x, Value params) { return mlp_composite(shape, params, x); },
                               {in[0], in[1]}, {d[0], d[1]});
      return {Values<2>{y}, Values<2>{dy}};
    }
    const auto out = perform(MlpValueAndTangent{shape}, {in[0], in[1], d[0]});
    return {Values<2>{out[0]}, Values<2>{out[1]}};
  }
  Values<2> pushforward(Values<2>, Values<2>, Values<2>) const { return {}; }  // value_and_tangent serves
  void pullback(Values<2> in, Values<2> out, Values<2> dy, Cotangents c) const {
    if (plain(in) && plain(dy)) return pull_back_fused(shape, in[0], in[1], out[1], dy[0], c);
    const auto v = vjp([&](Value x, Value params) { return mlp_composite(shape, params, x); }, {in[0], in[1]});
    const auto cotangent = v.pull({dy[0]});
    for (int i : {0, 1}) c.add(i, cotangent[i]);
  }
};

Value layer(const MlpShape& shape, Value params, int l, Value x) {
  const int64_t in = shape.width[l], out = shape.width[l + 1];
  return dense(x, parameter(params, shape.weight[l], in, out), parameter(params, shape.bias[l], 1, out));
}

// From the sum of the first layer on.
Value rest_composite(const MlpShape& shape, Value params, Value x) {
  for (int l = 0; l + 1 < shape.layers; ++l) {
    const int64_t width = shape.width[l + 1];
    const auto norm = [&](Value v) {
      return layer_norm(v, parameter(params, shape.scale[l], 1, width), parameter(params, shape.shift[l], 1, width),
                        shape.norm_eps);
    };
    if (shape.norm == Norm::before_activation) x = norm(x);
    x = activate(shape.activation, x);
    if (shape.norm == Norm::after_activation) x = norm(x);
    x = layer(shape, params, l + 1, x);
  }
  return x;
}

}  // namespace

Value mlp_composite(const MlpShape& shape, Value params, Value x) {
  check_input(shape, params.detached, x.detached);
  return rest_composite(shape, params, layer(shape, params, 0, x));
}

Value mlp(const MlpShape& shape, Value params, Value x) {
  if (x.dtype() != DType::float32) return mlp_composite(shape, params, x);
  return perform(Mlp{shape}, {x, params})[0];
}

std::pair<Value, Value> mlp_directions_composite(const MlpShape& shape, Value params, Value x, int64_t first_input,
                                                 Value dx) {
  const int64_t n = dx.rows() / x.rows();
  const Value whole = pad_columns(dx, first_input, x.cols());
  const auto [y, dy] =
      jvp([&](Value x) { return mlp_composite(shape, params, x); }, {repeat_rows(x, n)}, {whole});
  return {slice_columns(reshape(y, x.rows(), n * y.cols()), 0, y.cols()), dy};
}

std::pair<Value, Value> mlp_directions(const MlpShape& shape, Value params, Value x, int64_t first_input, Value dx) {
  if (dx.rows() % x.rows() != 0 || dx.rows() == 0 || first_input < 0 || first_input + dx.cols() > x.cols())
    throw Error(message("mlp_directions: dx ", detail::shape(dx.detached), " at input ", first_input,
                        " does not fit x ", detail::shape(x.detached)));
  if (!params.plain() || !x.plain() || !dx.plain() || x.dtype() != DType::float32)
    return mlp_directions_composite(shape, params, x, first_input, dx);
  check_input(shape, params.detached, x.detached);
  const int64_t out = shape.width[shape.layers];
  const Tensor y = empty(x.rows(), out), dy = empty(dx.rows(), out);
  ArenaScope scope;
  kernels::current().mlp_value_and_directions(shape, params.detached.f32(), x.rows(), x.detached.f32(),
                                              dx.rows() / x.rows(), first_input, dx.cols(), dx.detached.f32(), y.f32(),
                                              dy.f32(), workspace(shape, x.rows() + dx.rows()));
  return {y, dy};
}

Value mlp_projected_composite(const MlpShape& shape, Value params, Value own, int64_t first_input, Value start) {
  const int64_t width = shape.width[1];
  const Value weight = parameter(params, shape.weight[0] + first_input * width, own.cols(), width);
  return rest_composite(shape, params, product(own, weight) + repeat_rows(start, own.rows() / start.rows()));
}

Value mlp_projected(const MlpShape& shape, Value params, Value own, int64_t first_input, Value start,
                    const kernels::MlpProducts& products) {
  if (start.cols() != shape.width[1] || own.rows() % start.rows() != 0 || first_input + own.cols() > shape.width[0])
    throw Error(message("mlp_projected: own ", detail::shape(own.detached), " at input ", first_input, " and start ",
                        detail::shape(start.detached), " do not fit a network of ", shape.width[0], " inputs"));
  if (!params.plain() || !own.plain() || !start.plain() || own.dtype() != DType::float32)
    return mlp_projected_composite(shape, params, own, first_input, start);
  const Tensor y = empty(own.rows(), shape.width[shape.layers]);
  ArenaScope scope;
  kernels::current().mlp_forward_projected(shape, params.detached.f32(), own.rows(), own.cols(), own.detached.f32(),
                                           first_input, own.rows() / start.rows(), start.detached.f32(), y.f32(),
                                           workspace(shape, own.rows()), products);
  return y;
}

Value mlp_shared_composite(const MlpShape& shape, Value params, Value own, Value shared, bool own_leads) {
  const Value all = repeat_rows(shared, own.rows() / shared.rows());
  return mlp(shape, params, own_leads ? concat_columns(own, all) : concat_columns(all, own));
}

Value mlp_shared(const MlpShape& shape, Value params, Value own, Value shared, bool own_leads,
                 const kernels::MlpProducts& products) {
  check_shared("mlp_shared", shape, own.detached, shared.detached);
  if (!params.plain() || !own.plain() || !shared.plain() || own.dtype() != DType::float32)
    return mlp_shared_composite(shape, params, own, shared, own_leads);
  const Tensor y = empty(own.rows(), shape.width[shape.layers]);
  ArenaScope scope;
  kernels::current().mlp_forward_shared(shape, params.detached.f32(), own.rows(), own.cols(), own.detached.f32(),
                              own.rows() / shared.rows(), shared.detached.f32(), own_leads, y.f32(),
                              workspace(shape, own.rows()), products);
  return y;
}

std::pair<Value, Value> mlp_shared_gradient_composite(const MlpShape& shape, Value params, Value own, Value shared,
                                                      bool own_leads) {
  const auto v = vjp([&](Value own) { return mlp_shared_composite(shape, params, own, shared, own_leads); }, {own});
  return {v.out[0], v.pull({full(own.rows(), 1, 1, own.dtype())})[0]};
}

std::pair<Value, Value> mlp_shared_gradient(const MlpShape& shape, Value params, Value own, Value shared,
                                            bool own_leads) {
  check_shared("mlp_shared_gradient", shape, own.detached, shared.detached);
  check_parameters(shape, params.detached);
  if (shape.width[shape.layers] != 1)
    throw Error(message("mlp_shared_gradient: the network has ", shape.width[shape.layers], " outputs, not one"));
  if (!params.plain() || !own.plain() || !shared.plain() || own.dtype() != DType::float32)
    return mlp_shared_gradient_composite(shape, params, own, shared, own_leads);
  const Tensor y = empty(own.rows(), 1), gradient = empty(own.rows(), own.cols());
  ArenaScope scope;
  kernels::current().mlp_value_and_gradient_shared(shape, params.detached.f32(), own.rows(), own.cols(),
                                                   own.detached.f32(), own.rows() / shared.rows(),
                                                   shared.detached.f32(), own_leads, y.f32(), gradient.f32(),
                                                   workspace(shape, own.rows()));
  return {y, gradient};
}

}  // namespace meander
