#include <meander/core/elements.h>
#include <meander/core/operations.h>

namespace meander {
namespace {

using detail::binary;
using kernels::Binary;

// y = a + b
struct Add {
  static constexpr int inputs = 2, outputs = 1;
  static constexpr unsigned row_inputs = 0b11;
  Tensors<1> value(Tensors<2> in) const {
    return {binary("add", Binary::add, in[0], in[1])};
  }
  Values<1> pushforward(Values<2>, Values<1> y, Values<2> d) const {
    return {broadcast_to(d[0] + d[1], y[0].rows(), y[0].cols())};
  }
  void pullback(Values<2> in, Values<1>, Values<1> dy, Cotangents c) const {
    for (int i : {0, 1})
      if (c.wants(i)) c.add(i, sum_to(dy[0], in[i].rows(), in[i].cols()));
  }
};

// y = a - b
struct Subtract {
  static constexpr int inputs = 2, outputs = 1;
  static constexpr unsigned row_inputs = 0b11;
  Tensors<1> value(Tensors<2> in) const { return {binary("subtract", Binary::subtract, in[0], in[1])}; }
  Values<1> pushforward(Values<2>, Values<1> y, Values<2> d) const {
    return {broadcast_to(d[0] - d[1], y[0].rows(), y[0].cols())};
  }
  void pullback(Values<2> in, Values<1>, Values<1> dy, Cotangents c) const {
    if (c.wants(0)) c.add(0, sum_to(dy[0], in[0].rows(), in[0].cols()));
    if (c.wants(1)) c.add(1, sum_to(-dy[0], in[1].rows(), in[1].cols()));
  }
};

// y = a + scale b, of one shape
struct AddScaled {
  double scale;
  static constexpr int inputs = 2, outputs = 1;
  static constexpr unsigned row_inputs = 0b11;
  Tensors<1> value(Tensors<2> in) const {
    const Tensor a = in[0], b = in[1];
    const Tensor y = empty(a.rows, a.cols, a.dtype);
    detail::by_dtype(a.dtype, kernels::current().add_scaled, kernels::add_scaled<double>, [&]<class T>(T, auto kernel) {
      kernel(a.size(), a.as<T>(), T(scale), b.as<T>(), y.as<T>());
    });
    return {y};
  }
  Values<1> pushforward(Values<2>, Values<1>, Values<2> d) const { return {add_scaled(d[0], scale, d[1])}; }
  void pullback(Values<2>, Values<1>, Values<1> dy, Cotangents c) const {
    c.add(0, dy[0]);
    if (c.wants(1)) c.add(1, scale * dy[0]);
  }
};

// y = a b
struct Multiply {
  static constexpr int inputs = 2, outputs = 1;
  static constexpr unsigned row_inputs = 0b11;
  Tensors<1> value(Tensors<2> in) const {
    return {binary("multiply", Binary::multiply, in[0], in[1])};
  }
  Values<1> pushforward(Values<2> in, Values<1>, Values<2> d) const { return {d[0] * in[1] + in[0] * d[1]}; }
  void pullback(Values<2> in, Values<1>, Values<1> dy, Cotangents c) const {
    for (int i : {0, 1})
      if (c.wants(i)) c.add(i, sum_to(dy[0] * in[1 - i], in[i].rows(), in[i].cols()));
  }
};

// y = a / b
struct Divide {
  static constexpr int inputs = 2, outputs = 1;
  static constexpr unsigned row_inputs = 0b11;
  Tensors<1> value(Tensors<2> in) const {
    return {binary("divide", Binary::divide, in[0], in[1])};
  }
  Values<1> pushforward(Values<2> in, Values<1> y, Values<2> d) const { return {(d[0] - y[0] * d[1]) / in[1]}; }
  void pullback(Values<2> in, Values<1> y, Values<1> dy, Cotangents c) const {
    const Value da = dy[0] / in[1];
    if (c.wants(0)) c.add(0, sum_to(da, in[0].rows(), in[0].cols()));
    if (c.wants(1)) c.add(1, sum_to(-(da * y[0]), in[1].rows(), in[1].cols()));
  }
};

// y = mask != 0 ? a : b
struct Select {
  static constexpr int inputs = 3, outputs = 1;
  static constexpr unsigned row_inputs = 0b111;
  Tensors<1> value(Tensors<3> in) const {
    // One side is exactly zero everywhere, so the sum is the chosen number (0 for a chosen -0).
    return {binary("select", Binary::add, binary("select", Binary::where, in[0], in[1]),
                   binary("select", Binary::where_not, in[0], in[2]))};
  }
  Values<1> pushforward(Values<3> in, Values<1> y, Values<3> d) const {
    const Value none = zeros(1, 1, y[0].dtype());
    return {broadcast_to(select(in[0], d[1] ? d[1] : none, d[2] ? d[2] : none), y[0].rows(), y[0].cols())};
  }
  void pullback(Values<3> in, Values<1>, Values<1> dy, Cotangents c) const {
    const Value none = zeros(1, 1, dy[0].dtype());
    if (c.wants(1)) c.add(1, sum_to(select(in[0], dy[0], none), in[1].rows(), in[1].cols()));
    if (c.wants(2)) c.add(2, sum_to(select(in[0], none, dy[0]), in[2].rows(), in[2].cols()));
  }
};

// y = scale x + offset
struct Affine {
  double scale, offset;
  static constexpr int inputs = 1, outputs = 1;
  static constexpr unsigned row_inputs = 0b1;
  Tensors<1> value(Tensors<1> in) const {
    const Tensor x = in[0], y = empty(x.rows, x.cols, x.dtype);
    detail::by_dtype(x.dtype, kernels::current().affine, kernels::affine<double>, [&]<class T>(T, auto kernel) {
      kernel(x.size(), T(scale), T(offset), x.as<T>(), y.as<T>());
    });
    return {y};
  }
  Values<1> pushforward(Values<1>, Values<1>, Values<1> d) const { return {affine(d[0], scale, 0)}; }
  void pullback(Values<1>, Values<1>, Values<1> dy, Cotangents c) const { c.add(0, affine(dy[0], scale, 0)); }
};

}  // namespace

Value add(Value a, Value b) { return !a ? b : !b ? a : perform(Add{}, {a, b})[0]; }
Value subtract(Value a, Value b) { return !b ? a : !a ? -b : perform(Subtract{}, {a, b})[0]; }
Value add_scaled(Value a, double scale, Value b) {
  if (!a || !b || a.rows() != b.rows() || a.cols() != b.cols() || a.dtype() != b.dtype()) return a + scale * b;
  return perform(AddScaled{scale}, {a, b})[0];
}
Value mix(Value t, Value a, Value b) {
  const bool fits = t.cols() == 1 && t.rows() == a.rows() && a.rows() == b.rows() && a.cols() == b.cols();
  const bool single = t.dtype() == DType::float32 && a.dtype() == t.dtype() && b.dtype() == t.dtype();
  if (!fits || !single || !t.plain() || !a.plain() || !b.plain()) return (1 - t) * a + t * b;
  const Tensor y = empty(a.rows(), a.cols());
  kernels::current().interpolate(y.rows, y.cols, t.detached.f32(), a.detached.f32(), b.detached.f32(), y.f32());
  return y;
}
Value multiply(Value a, Value b) { return a && b ? perform(Multiply{}, {a, b})[0] : Value(); }
Value divide(Value a, Value b) {
  if (!b) throw Error("divide: the divisor is absent");
  return a ? perform(Divide{}, {a, b})[0] : Value();
}
Value affine(Value x, double scale, double offset) { return x ? perform(Affine{scale, offset}, {x})[0] : Value(); }
Value select(Value mask, Value a, Value b) { return perform(Select{}, {mask, a, b})[0]; }
Value less(Value a, Value b) {
  return binary("less", Binary::less, a.detached, b.detached);
}
Value minimum(Value a, Value b) {
  if (a.plain() && b.plain()) return binary("minimum", Binary::minimum, a.detached, b.detached);
  return select(less(a, b), a, b);
}
Value maximum(Value a, Value b) {
  if (a.plain() && b.plain()) return binary("maximum", Binary::maximum, a.detached, b.detached);
  return select(less(b, a), a, b);
}

}  // namespace meander
