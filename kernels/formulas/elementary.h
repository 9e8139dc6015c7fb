// Functions of one variable: argument reduction and polynomials fitted for these intervals (weighted minimax in double,
// coefficients rounded to float). Only + - * / sqrt, fma and bit operations, all exactly rounded on every device: hence
// the same bits everywhere. See formula.h.

// Adding this rounds to an integer for |x| < 2^22, and leaves that integer in the low bits.
constexpr float round_magic = 12582912.0f;  // 1.5 * 2^23

// exp x = 2^n exp r, n integer, |r| <= log(2) / 2: returns exp r, and n in the low 9 bits of `power`.
MEANDER_FORMULA V exp_reduced(V x, I& power) {
  const V shifted = fma(x, broadcast(1.44269504f), broadcast(round_magic)), n = shifted - round_magic;
  power = as_int(shifted);
  V r = fma(n, broadcast(-0.693145752f), x);
  r = fma(n, broadcast(-1.42860682e-6f), r);
  V p = broadcast(0.00138142216f);
  p = fma(p, r, broadcast(0.00836889911f));
  p = fma(p, r, broadcast(0.0416684039f));
  p = fma(p, r, broadcast(0.166665196f));
  p = fma(p, r, broadcast(0.49999994f));
  return fma(p * r, r, r) + 1.0f;
}
// exp x for |x| <= 87; a NaN stays one.
MEANDER_FORMULA V exp_within(V x) {
  I power;
  const V y = exp_reduced(x, power);
  return as_float(wrapping_add(as_int(y), power << 23));
}
MEANDER_FORMULA V exp(V x) {
  I power;
  const V y = exp_reduced(maximum(broadcast(-87.5f), minimum(broadcast(89.0f), x)), power);
  // In two steps, as 2^128 is no float; 2^-126 may be reached from a y below 1.
  const I n = wrapping_add(power, broadcast_int(-0x4b400000)), half = n >> 1;
  const V scaled = y * as_float((half + 127) << 23) * as_float(wrapping_add(n - half, broadcast_int(127)) << 23);
  return x < -87.3365402f ? V{} : scaled;
}

// log x: x = 2^n m, m in [sqrt 1/2, sqrt 2), f = m - 1
MEANDER_FORMULA V log(V x) {
  const I tiny = x < 1.17549435e-38f;
  const V scaled = tiny ? x * 16777216.0f : x;
  const I shifted = wrapping_add(as_int(scaled), broadcast_int(-0x3f3504f3));  // bits of sqrt 1/2
  const I exponent = shifted >> 23;
  const V f = as_float((shifted & 0x007fffff) + 0x3f3504f3) - 1.0f;
  const V n = to_float(exponent - (tiny ? broadcast_int(24) : I{}));
  V p = broadcast(0.0674659163f);
  p = fma(p, f, broadcast(-0.116756387f));
  p = fma(p, f, broadcast(0.118881777f));
  p = fma(p, f, broadcast(-0.124055922f));
  p = fma(p, f, broadcast(0.142195508f));
  p = fma(p, f, broadcast(-0.166679963f));
  p = fma(p, f, broadcast(0.200021192f));
  p = fma(p, f, broadcast(-0.250000089f));
  p = fma(p, f, broadcast(0.333333135f));
  const V square = f * f;
  V y = fma(p * f, square, n * 1.42860682e-6f);
  y = fma(square, broadcast(-0.5f), y);
  y = fma(n, broadcast(0.693145752f), y + f);
  y = x == 0.0f ? broadcast(-__builtin_inff()) : y;
  y = x < 0.0f ? broadcast(__builtin_nanf("")) : y;
  return x < __builtin_inff() ? y : x;  // +inf and NaN pass
}

// tanh: a polynomial near 0, else 1 - 2 / (exp 2|x| + 1)
MEANDER_FORMULA V tanh(V x) {
  const V a = absolute(x), u = x * x;
  V p = broadcast(0.00214753975f);
  p = fma(p, u, broadcast(-0.00818267744f));
  p = fma(p, u, broadcast(0.0217029694f));
  p = fma(p, u, broadcast(-0.0539472029f));
  p = fma(p, u, broadcast(0.133332103f));
  p = fma(p, u, broadcast(-0.333333313f));
  const V near = fma(p * u, x, x);
  const V far = 1.0f - 2.0f / (exp_within(minimum(broadcast(20.0f), 2.0f * a)) + 1.0f);
  return a >= 0.625f ? copy_sign(far, x) : near;  // a NaN takes the polynomial, which keeps it
}

// sin and cos: x = n pi/2 + r, pi/2 in three parts
MEANDER_FORMULA void sincos(V x, V& sine, V& cosine) {
  const V shifted = fma(x, broadcast(0.636619772f), broadcast(round_magic)), n = shifted - round_magic;
  V r = fma(-n, broadcast(1.57079637f), x);
  r = fma(-n, broadcast(-4.37113883e-08f), r);
  r = fma(-n, broadcast(-1.71512451e-15f), r);
  const V u = r * r;
  V s = broadcast(2.71830413e-06f);
  s = fma(s, u, broadcast(-0.000198393347f));
  s = fma(s, u, broadcast(0.00833332911f));
  s = fma(s, u, broadcast(-0.166666672f));
  s = fma(s * u, r, r);
  V c = broadcast(2.44330822e-05f);
  c = fma(c, u, broadcast(-0.00138873153f));
  c = fma(c, u, broadcast(0.0416666456f));
  c = fma(c, u * u, fma(u, broadcast(-0.5f), broadcast(1.0f)));
  const I quadrant = as_int(shifted);
  const I swap = (quadrant & 1) != 0;
  const V sin_part = swap ? c : s, cos_part = swap ? s : c;
  sine = as_float(as_int(sin_part) ^ ((quadrant & 2) << 30));
  cosine = as_float(as_int(cos_part) ^ ((wrapping_add(quadrant, broadcast_int(1)) & 2) << 30));
}

MEANDER_FORMULA V sigmoid(V x) { return 1.0f / (1.0f + exp(-x)); }
