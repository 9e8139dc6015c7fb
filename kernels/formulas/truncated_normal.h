// The normal distribution cut to an interval. See formula.h.
//
// phi density, Phi distribution function, Q = 1 - Phi, M = Q / phi (Mills ratio), all in relative accuracy far into the
// tail. 1 / M is the hazard, log Q(a + d) - log Q(a) = log M(a + d) - log M(a) - d (a + d / 2).

// M(x), x >= 0: (1 + x) M is a polynomial of (x - 3) / (x + 3), which lies in [-1, 1].
MEANDER_FORMULA V mills(V x) {
  const V t = (x - 3.0f) / (x + 3.0f);
  V p = broadcast(0.00014917193f);
  p = fma(p, t, broadcast(9.01511303e-05f));
  p = fma(p, t, broadcast(-0.00118705712f));
  p = fma(p, t, broadcast(-0.000916885037f));
  p = fma(p, t, broadcast(0.00748576131f));
  p = fma(p, t, broadcast(0.00291851861f));
  p = fma(p, t, broadcast(-0.0569615439f));
  p = fma(p, t, broadcast(0.113207795f));
  p = fma(p, t, broadcast(-0.0411904678f));
  p = fma(p, t, broadcast(-0.241956651f));
  p = fma(p, t, broadcast(1.21836126f));
  return p / (1.0f + x);
}
constexpr float mills_at_0 = 1.25331414f, density_at_0 = 0.398942280f, far_away = 1e18f;

// d >= 0 with Q(a + d) = exp(-l) Q(a), given m = M(a): the root of the convex d (a + d/2) - log(M(a + d) / m) - l.
// It starts at the root of the function's second-order expansion; two steps of Halley's method follow.
MEANDER_FORMULA V tail_step(V a, V m, V l) {
  const V hazard = 1.0f / m;
  const V bend = maximum(broadcast(0.636619772f), minimum(broadcast(1.0f), hazard * (hazard - a)));
  V d = 2.0f * l / (hazard + sqrt(fma(hazard, hazard, 2.0f * bend * l)));
  for (int step = 0; step < 2; ++step) {
    const V x = a + d, mx = mills(x);
    const V g = fma(d, fma(d, broadcast(0.5f), a), -log(mx * hazard)) - l;
    d = d - g * mx / (1.0f - 0.5f * g * fma(-x, mx, broadcast(1.0f)));
  }
  return maximum(V{}, d);
}

MEANDER_FORMULA V truncated_normal(V lower, V upper, V f) {
  const V g = 1.0f - f;
  const I left = upper <= 0.0f, both = (lower < 0.0f) & (upper > 0.0f);
  // On one side of 0: the interval [a, b] of |y|, of whose mass y leaves the share `near` on the side of a.
  const V a = minimum(broadcast(far_away), absolute(left ? upper : lower));
  const V b = minimum(broadcast(far_away), absolute(left ? lower : upper));
  const V ma = mills(a), mb = mills(b);
  const V near = left ? g : f;
  const V ea = exp(-0.5f * (both ? a * a : (b - a) * (b + a)));
  const V ratio = ea * (mb / ma);  // Q(b) / Q(a)
  // Around 0: below = Phi(y), above = Q(y), each a sum of positive terms.
  const V qa = density_at_0 * ma * ea, qb = density_at_0 * mb * exp(-0.5f * b * b);
  const V below = fma(f, 1.0f - qb, g * qa), above = fma(g, 1.0f - qa, f * qb);
  // Q(|y|) = share Q(origin) = (1 - missing) Q(origin)
  const V missing = both ? absolute(above - below) : near * (1.0f - ratio);
  const V share = both ? 2.0f * minimum(below, above) : fma(near, ratio, left ? f : g);
  const I small = missing < 0.5f;
  const V u = small ? 1.0f - missing : share;
  const V rest = small ? (1.0f - u) - missing : V{};
  const V l = maximum(V{}, minimum(broadcast(1e30f), -(log(u) + rest / u)));
  const V origin = both ? V{} : a;
  const V size = origin + tail_step(origin, both ? broadcast(mills_at_0) : ma, l);
  const V y = (both ? below < above : left) ? -size : size;
  const V inside = maximum(lower, minimum(upper, y));
  return f <= 0.0f ? lower : f >= 1.0f ? upper : inside;
}

MEANDER_FORMULA V normal_mass_ratio(V lower, V upper, V y) {
  const V width = upper - lower;
  const V reach = maximum(absolute(lower), absolute(upper));
  // A short interval, where differences would cancel: five-point Gauss-Legendre of exp((y^2 - x^2) / 2).
  constexpr float node[3] = {0.0f, 0.538469310f, 0.906179846f};
  constexpr float weight[3] = {0.284444444f, 0.239314335f, 0.118463443f};
  const V middle = fma(width, broadcast(0.5f), lower), half = 0.5f * width;
  V quadrature = V{};
  for (int i = -2; i <= 2; ++i) {
    const V x = fma(half, broadcast(i < 0 ? -node[-i] : node[i]), middle);
    quadrature = fma(broadcast(weight[i < 0 ? -i : i]), exp(0.5f * (y - x) * (y + x)), quadrature);
  }
  quadrature = quadrature * width;
  const I left = upper <= 0.0f, both = (lower < 0.0f) & (upper > 0.0f);
  const V a = minimum(broadcast(far_away), absolute(left ? upper : lower));
  const V b = minimum(broadcast(far_away), absolute(left ? lower : upper));
  const V z = absolute(y), ma = mills(a), mb = mills(b);
  const V tails = density_at_0 * fma(ma, exp(-0.5f * a * a), mb * exp(-0.5f * b * b));
  const V around = 2.0f * mills_at_0 * (1.0f - tails) * exp(0.5f * z * z);
  const V beside = ma * exp(0.5f * (z - a) * (z + a)) - mb * exp(0.5f * (z - b) * (z + b));
  const V difference = both ? around : beside;
  return ((width * reach < 3.0f) & (width < 1.5f)) ? quadrature : difference;
}
