// The activations of kernels/activation.h: value, and slope with the value beside it. See formula.h.

template <Activation>
struct ActivationFormula;

template <>
struct ActivationFormula<Activation::relu> {
  MEANDER_FORMULA V value(V x) { return x < 0.0f ? V{} : x; }
  MEANDER_FORMULA V slope(V x, V& y) {
    y = value(x);
    return x > 0.0f ? broadcast(1.0f) : V{};
  }
};

// GELU, tanh form, is x sigmoid(2 z), z = sqrt(2/pi) (x + 0.044715 x^3). Below -10 it is as at -10: -1e-37.
template <>
struct ActivationFormula<Activation::gelu> {
  static constexpr float linear = 1.59576912f, cubic = 0.0713548163f;  // 2 sqrt(2/pi), and times 0.044715
  MEANDER_FORMULA V exponential(V x) {  // exp(-2 z), x >= -10
    const V u = x * x;
    return exp_within(maximum(broadcast(-87.0f), x * fma(u, broadcast(-cubic), broadcast(-linear))));
  }
  MEANDER_FORMULA V value(V x) {
    const V inside = maximum(broadcast(-10.0f), x);
    return inside * (1.0f / (1.0f + exponential(inside)));
  }
  // To 1e-4 of its value above -8, for results that are rounded to bfloat16 (4e-3): a shorter polynomial, and a
  // quotient by two Newton steps from the bits of the divisor.
  MEANDER_FORMULA V coarse(V x) {
    constexpr float to_binary = -1.44269504f;
    const V u = x * x, y = x * fma(u, broadcast(to_binary * cubic), broadcast(to_binary * linear));
    const V inside = maximum(broadcast(-100.0f), minimum(broadcast(100.0f), y));
    const V shifted = inside + round_magic, f = inside - (shifted - round_magic);
    V p = broadcast(0.0551716909f);
    p = fma(p, f, broadcast(0.242611170f));
    p = fma(p, f, broadcast(0.693260968f));
    p = fma(p, f, broadcast(0.999928057f));
    const V d = as_float(wrapping_add(as_int(p), as_int(shifted) << 23)) + 1.0f;
    V r = as_float(broadcast_int(0x7ef31000) - as_int(d));
    r = r * fma(-d, r, broadcast(2.0f));
    r = r * fma(-d, r, broadcast(2.0f));
    return x * r;
  }
  MEANDER_FORMULA V slope(V x, V& y) {
    const V from_below = maximum(broadcast(-10.0f), x), inside = minimum(broadcast(10.0f), from_below);
    const V e = exponential(inside), s = 1.0f / (1.0f + e);
    const V dz = fma(inside * inside, broadcast(3.0f * cubic), broadcast(linear));
    y = from_below * s;
    return fma(inside * s * (e * s), dz, s);
  }
};

// Mish: with w = exp x, tanh(log(1 + w)) = n / (n + 2), n = w (w + 2). Above 20 it is x.
template <>
struct ActivationFormula<Activation::mish> {
  MEANDER_FORMULA V exponential(V x) { return exp(minimum(broadcast(20.0f), x)); }
  MEANDER_FORMULA V value(V x) {
    const V w = exponential(x), n = w * (w + 2.0f);
    const V inside = maximum(broadcast(-104.0f), x);
    return x > 20.0f ? x : inside * (n / (n + 2.0f));
  }
  MEANDER_FORMULA V slope(V x, V& y) {
    const V inside = maximum(broadcast(-104.0f), minimum(broadcast(20.0f), x));
    const V w = exponential(x), n = w * (w + 2.0f), d = n + 2.0f;
    const V slope = n / d + 4.0f * inside * w * (w + 1.0f) / (d * d);
    y = value(x);
    return slope;
  }
};

template <>
struct ActivationFormula<Activation::tanh> {
  MEANDER_FORMULA V value(V x) { return tanh(x); }
  MEANDER_FORMULA V slope(V x, V& y) {
    y = value(x);
    return fma(-y, y, broadcast(1.0f));
  }
};

// SiLU is x s, s = w / (1 + w), w = exp x; its slope s (1 + x (1 - s)), 1 - s = 1 / (1 + w). Above 20 it is x.
template <>
struct ActivationFormula<Activation::silu> {
  MEANDER_FORMULA V value(V x) {
    V y;
    slope(x, y);
    return y;
  }
  MEANDER_FORMULA V slope(V x, V& y) {
    const V below = minimum(broadcast(20.0f), x), inside = maximum(broadcast(-104.0f), below);
    const V w = exp(below), rest = 1.0f / (1.0f + w), s = w * rest;
    y = x > 20.0f ? x : inside * s;
    return s * fma(inside, rest, broadcast(1.0f));
  }
};

// coarse: good enough for a result that is rounded to bfloat16.
template <Activation which, bool coarse = false>
MEANDER_FORMULA V activate(V x) {
  using Formula = ActivationFormula<which>;
  if constexpr (coarse && requires { Formula::coarse(x); }) return Formula::coarse(x);
  else return Formula::value(x);
}
// The slope at x; value = activate(x).
template <Activation which>
MEANDER_FORMULA V activation_slope(V x, V& value) { return ActivationFormula<which>::slope(x, value); }

// f.operator()<activation>() as it stands in a network: one branch before a loop, not one for each number.
#if defined(__CUDACC__)
#pragma nv_exec_check_disable
#endif
template <class F>
MEANDER_FORMULA_ANYWHERE decltype(auto) with_activation(Activation which, F&& f) {
  switch (which) {
    case Activation::relu: return f.template operator()<Activation::relu>();
    case Activation::gelu: return f.template operator()<Activation::gelu>();
    case Activation::mish: return f.template operator()<Activation::mish>();
    case Activation::tanh: return f.template operator()<Activation::tanh>();
    case Activation::silu: return f.template operator()<Activation::silu>();
  }
  __builtin_unreachable();
}
