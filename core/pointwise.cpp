
#include <meander/core/elements.h>
#include <meander/core/operations.h>
#include <meander/kernels/activation_reference.h>

namespace meander {
namespace {

using kernels::Activation;
using kernels::activation_name;
using kernels::activation_reference;
using kernels::current;

// float32 through our kernels (the same bits everywhere), float64 through libm.
template <class Kernel, class F>
Tensor evaluate(Tensor x, Kernel kernel, F in_double) {
  if (x.dtype != DType::float32) return detail::map_double(x, in_double);
  Tensor y = empty(x.rows, x.cols);
  kernel(x.size(), x.f32(), y.f32());
  return y;
}

// The sine or the cosine; a kernel makes both.
Tensor sine_or_cosine(Tensor x, bool cosine) {
  const Tensor y = empty(x.rows, x.cols);
  ArenaScope scope;
  const Tensor other = empty(x.rows, x.cols);
  current().sincos(x.size(), x.f32(), (cosine ? other : y).f32(), (cosine ? y : other).f32());
  return y;
}

// Likewise for kernels of both types that have two bounds.
template <class Single, class Double>
Tensor between(Tensor x, Single in_single, Double in_double, double low, double high) {
  const Tensor y = empty(x.rows, x.cols, x.dtype);
  detail::by_dtype(x.dtype, in_single, in_double, [&]<class T>(T, auto kernel) {
    kernel(x.size(), T(low), T(high), x.as<T>(), y.as<T>());
  });
  return y;
}

// y = f(x) element by element. An operation states value(x) and slope(x, y) = f'(x); both rules are slope times what
// comes in.
template <class Op>
struct Pointwise {
  static constexpr int inputs = 1, outputs = 1;
  static constexpr unsigned row_inputs = 0b1;
  const Op& self() const { return static_cast<const Op&>(*this); }
  Tensors<1> value(Tensors<1> in) const { return {self().evaluate(in[0])}; }
  Values<1> pushforward(Values<1> in, Values<1> y, Values<1> d) const { return {self().slope(in[0], y[0]) * d[0]}; }
  void pullback(Values<1> in, Values<1> y, Values<1> dy, Cotangents c) const {
    c.add(0, self().slope(in[0], y[0]) * dy[0]);
  }
};

struct Exp : Pointwise<Exp> {
  Tensor evaluate(Tensor x) const { return meander::evaluate(x, current().exp, [](double v) { return std::exp(v); }); }
  Value slope(Value, Value y) const { return y; }
};
struct Log : Pointwise<Log> {
  Tensor evaluate(Tensor x) const { return meander::evaluate(x, current().log, [](double v) { return std::log(v); }); }
  Value slope(Value x, Value) const { return Value(full(1, 1, 1, x.dtype())) / x; }
};
struct Sqrt : Pointwise<Sqrt> {
  Tensor evaluate(Tensor x) const {
    return meander::evaluate(x, current().square_root, [](double v) { return std::sqrt(v); });
  }
  Value slope(Value, Value y) const { return Value(full(1, 1, 0.5, y.dtype())) / y; }
};
struct Sin : Pointwise<Sin> {
  Tensor evaluate(Tensor x) const {
    return x.dtype == DType::float32 ? sine_or_cosine(x, false)
                                     : detail::map_double(x, [](double v) { return std::sin(v); });
  }
  Value slope(Value x, Value) const { return cos(x); }
};
struct Cos : Pointwise<Cos> {
  Tensor evaluate(Tensor x) const {
    return x.dtype == DType::float32 ? sine_or_cosine(x, true)
                                     : detail::map_double(x, [](double v) { return std::cos(v); });
  }
  Value slope(Value x, Value) const { return -sin(x); }
};
struct Tanh : Pointwise<Tanh> {
  Tensor evaluate(Tensor x) const { return meander::evaluate(x, current().tanh, [](double v) { return std::tanh(v); }); }
  Value slope(Value, Value y) const { return 1 - y * y; }
};
struct Sigmoid : Pointwise<Sigmoid> {
  Tensor evaluate(Tensor x) const {
    return meander::evaluate(x, current().sigmoid, [](double v) { return 1 / (1 + std::exp(-v)); });
  }
  Value slope(Value, Value y) const { return y * (1 - y); }
};

// max(x, 0) and, as its slope, the step function, whose own slope is 0.
struct Step : Pointwise<Step> {
  double low, high;   // 1 where low <= x <= high
  Step(double l, double h) : low(l), high(h) {}
  Tensor evaluate(Tensor x) const {
    return between(x, current().inside, kernels::inside<double>, low, high);
  }
  Value slope(Value, Value) const { return {}; }
};
struct Relu : Pointwise<Relu> {
  Tensor evaluate(Tensor x) const {
    return meander::evaluate(x, current().relu, [](double v) { return v > 0 ? v : 0; });
  }
  Value slope(Value, Value y) const { return perform(Step(std::numeric_limits<float>::denorm_min(), 1e300), {y})[0]; }
};
struct Clip : Pointwise<Clip> {
  double low, high;
  Clip(double l, double h) : low(l), high(h) {}
  Tensor evaluate(Tensor x) const {
    return between(x, current().clip, kernels::clip<double>, low, high);
  }
  Value slope(Value x, Value) const { return perform(Step(low, high), {x})[0]; }
};

// A smooth activation; its slope is an operation with a kernel of its own, and slopes beyond the first follow from
// composites.
struct ActivationSlope : Pointwise<ActivationSlope> {
  Activation which;
  explicit ActivationSlope(Activation a) : which(a) {}
  Tensor evaluate(Tensor x) const {
    return meander::evaluate(x, [&](auto... a) { current().activation_slope(which, a...); },
                             [&](double v) { return activation_reference(which, v).slope; });
  }
  Value slope(Value x, Value) const {
    switch (which) {
      case Activation::relu:
      case Activation::tanh: break;   // operations of their own
      case Activation::gelu: {
        // 0.5 x (1 + h), h = tanh(g), g = c (x + k x^3): with h' = (1 - h^2) g', g' = c (1 + 3 k x^2), g'' = 6 c k x:
        // (0.5 (1 + h) + 0.5 x h')' = h' + 0.5 x h'',  h'' = (1 - h^2) g'' - 2 h h' g'
        constexpr double c = 0.7978845608028654, k = 0.044715;   // c = sqrt(2 / pi)
        const Value h = tanh(c * (x + k * (x * x * x)));
        const Value g1 = c * (1 + 3 * k * (x * x)), g2 = (6 * c * k) * x;
        const Value h1 = (1 - h * h) * g1, h2 = (1 - h * h) * g2 - 2 * (h * h1 * g1);
        return h1 + 0.5 * (x * h2);
      }
      case Activation::mish: {
        // x h, h = tanh(s), s = log(1 + exp x), s' = q = sigmoid(x): h' = (1 - h^2) q, q' = q (1 - q);
        // (h + x h')' = 2 h' + x h'',  h'' = -2 h h' q + (1 - h^2) q'
        const Value q = sigmoid(x);
        // tanh(log(1 + e^x)) = (1 + e^x)^2 - 1 over (1 + e^x)^2 + 1; in p = 1 - q = 1 / (1 + e^x):
        // (1 - p^2) / (1 + p^2).
        const Value p2 = square(sigmoid(-x));
        const Value h = (1 - p2) / (1 + p2);
        const Value h1 = (1 - h * h) * q;
        return 2 * h1 + x * ((1 - h * h) * (q * (1 - q)) - 2 * (h * h1 * q));
      }
      case Activation::silu: {
        // x q, q = sigmoid(x): q' = q (1 - q), q'' = q' (1 - 2 q); (q + x q')' = 2 q' + x q''
        const Value q = sigmoid(x);
        return q * (1 - q) * (2 + x * (1 - 2 * q));
      }
    }
    throw Error(message("no second derivative of ", activation_name(which)));
  }
};
struct Activate : Pointwise<Activate> {
  Activation which;
  explicit Activate(Activation a) : which(a) {}
  Tensor evaluate(Tensor x) const {
    return meander::evaluate(x, [&](auto... a) { current().activation(which, a...); },
                             [&](double v) { return activation_reference(which, v).value; });
  }
  Value slope(Value x, Value) const { return perform(ActivationSlope{which}, {x})[0]; }
};

template <class Op>
Value pointwise(Op op, Value x) {
  return x ? perform(op, {x})[0] : Value();
}

}  // namespace

Value exp(Value x) { return perform(Exp{}, {x})[0]; }
Value log(Value x) { return perform(Log{}, {x})[0]; }
Value sqrt(Value x) { return pointwise(Sqrt{}, x); }
Value sin(Value x) { return pointwise(Sin{}, x); }
Value cos(Value x) { return perform(Cos{}, {x})[0]; }
Value tanh(Value x) { return pointwise(Tanh{}, x); }
Value sigmoid(Value x) { return perform(Sigmoid{}, {x})[0]; }
Value relu(Value x) { return pointwise(Relu{}, x); }
Value gelu(Value x) { return activate(Activation::gelu, x); }
Value mish(Value x) { return activate(Activation::mish, x); }
Value activate(Activation which, Value x) {
  if (which == Activation::relu) return relu(x);   // whose slope is made of its value, as is
  if (which == Activation::tanh) return tanh(x);   // tanh's
  return pointwise(Activate{which}, x);
}
Value clip(Value x, double low, double high) { return perform(Clip(low, high), {x})[0]; }
Value square(Value x) { return x * x; }

}  // namespace meander
