#include <numbers>

#include <meander/core/elements.h>
#include <meander/core/operations.h>
#include <meander/kernels/rows.h>
#include <meander/kernels/truncated_normal.h>

namespace meander {
namespace {

// p = exp(x - max) / sum exp(x - max), by row
struct Softmax {
  static constexpr int inputs = 1, outputs = 1;
  static constexpr unsigned row_inputs = 0b1;
  Tensors<1> value(Tensors<1> in) const {
    const Tensor x = in[0], y = empty(x.rows, x.cols, x.dtype);
    if (x.dtype == DType::float32) {
      kernels::current().softmax(x.rows, x.cols, x.f32(), y.f32());
      return {y};
    }
    for (int64_t i = 0; i < x.rows; ++i) {
      const double* row = x.as<double>() + i * x.cols;
      double* out = y.as<double>() + i * x.cols;
      const double high = *std::max_element(row, row + x.cols);
      double sum = 0;
      for (int64_t j = 0; j < x.cols; ++j) sum += out[j] = std::exp(row[j] - high);
      for (int64_t j = 0; j < x.cols; ++j) out[j] /= sum;
    }
    return {y};
  }
  Values<1> pushforward(Values<1>, Values<1> p, Values<1> d) const { return {p[0] * (d[0] - sum_row(p[0] * d[0]))}; }
  void pullback(Values<1>, Values<1> p, Values<1> dy, Cotangents c) const {
    c.add(0, p[0] * (dy[0] - sum_row(p[0] * dy[0])));
  }
};

// y = max + log sum exp(x - max), by row
struct LogSumExp {
  static constexpr int inputs = 1, outputs = 1;
  static constexpr unsigned row_inputs = 0b1;
  Tensors<1> value(Tensors<1> in) const {
    const Tensor x = in[0], y = empty(x.rows, 1, x.dtype);
    if (x.dtype == DType::float32) {
      kernels::current().log_sum_exp(x.rows, x.cols, x.f32(), y.f32());
      return {y};
    }
    for (int64_t i = 0; i < x.rows; ++i) {
      const double* row = x.as<double>() + i * x.cols;
      const double high = *std::max_element(row, row + x.cols);
      double sum = 0;
      for (int64_t j = 0; j < x.cols; ++j) sum += std::exp(row[j] - high);
      y.as<double>()[i] = high + std::log(sum);
    }
    return {y};
  }
  Values<1> pushforward(Values<1> x, Values<1>, Values<1> d) const { return {sum_row(softmax(x[0]) * d[0])}; }
  void pullback(Values<1> x, Values<1>, Values<1> dy, Cotangents c) const { c.add(0, softmax(x[0]) * dy[0]); }
};

// y = sum_j p_j v_j, p = softmax(x);   dy = sum_j p_j (v_j - y) dx_j + sum_j p_j dv_j
// Composite: sum_row(softmax(x) * v).
struct SoftmaxExpectation {
  static constexpr int inputs = 2, outputs = 1;
  static constexpr unsigned row_inputs = 0b01;
  Tensors<1> value(Tensors<2> in) const {
    const auto [x, v] = in;
    if (v.rows != 1 || v.cols != x.cols)
      throw Error(message("softmax_expectation: values ", detail::shape(v), " for logits ", detail::shape(x)));
    if (x.dtype != DType::float32) return {sum_row(softmax(x) * Value(v)).detached};
    const Tensor y = empty(x.rows, 1);
    kernels::current().softmax_expectation(x.rows, x.cols, x.f32(), v.f32(), y.f32());
    return {y};
  }
  Values<1> pushforward(Values<2> in, Values<1> y, Values<2> d) const {
    const Value p = softmax(in[0]);
    return {sum_row(p * (in[1] - y[0]) * d[0]) + sum_row(p * d[1])};
  }
  void pullback(Values<2> in, Values<1> y, Values<1> dy, Cotangents c) const {
    const Value p = softmax(in[0]);
    if (c.wants(0)) c.add(0, p * (in[1] - y[0]) * dy[0]);
    if (c.wants(1)) c.add(1, sum_column(p * dy[0]));
  }
};

Value cross_entropy_composite(Value target, Value logits) {
  return -mean_all(sum_row(target * log_softmax(logits)));
}
Value mean_squared_error_composite(Value a, Value b) { return mean_all(square(a - b)); }

// The rules of a loss of two matrices that a kernel computes; an operation states its composite, its value and, for the
// gradient by input `slope_of` alone, `slope`. All else is derived from the composite.
template <class Op>
struct Loss {
  static constexpr int inputs = 2, outputs = 1;
  static constexpr unsigned row_inputs = 0;
  Values<1> pushforward(Values<2> in, Values<1>, Values<2> d) const {
    const auto [y, dy] = jvp([](Value a, Value b) { return Op::composite(a, b); }, {in[0], in[1]}, {d[0], d[1]});
    return {dy};
  }
  void pullback(Values<2> in, Values<1>, Values<1> dy, Cotangents c) const {
    constexpr int other = 1 - Op::slope_of;
    if (!c.wants(other) && in[0].plain() && in[1].plain() && dy[0].plain())
      return c.add(Op::slope_of, Op::slope(in[0].detached, in[1].detached, dy[0].detached));
    const auto cotangent = vjp([](Value a, Value b) { return Op::composite(a, b); }, {in[0], in[1]}).pull({dy[0]});
    for (int i : {0, 1}) c.add(i, cotangent[i]);
  }
};

// y = mean over the rows of -sum_j target_j log softmax(logits)_j
//   dlogits = (softmax(logits) sum_j target_j - target) dy / rows
struct CrossEntropy : Loss<CrossEntropy> {
  static constexpr int slope_of = 1;               // target, logits
  static Value composite(Value target, Value logits) { return cross_entropy_composite(target, logits); }
  Tensors<1> value(Tensors<2> in) const {
    const auto [target, logits] = in;
    const Tensor y = empty(1, 1);
    ArenaScope scope;
    kernels::current().cross_entropy(logits.rows, logits.cols, target.f32(), logits.f32(), empty(logits.rows, 1).f32(),
                                     y.f32());
    return {y};
  }
  static Tensor slope(Tensor target, Tensor logits, Tensor dy) {
    const Tensor d = empty(logits.rows, logits.cols);
    kernels::current().cross_entropy_gradient(d.rows, d.cols, target.f32(), logits.f32(), dy.f32(), d.f32());
    return d;
  }
};

// y = mean of (a - b)^2      da = 2 (a - b) dy / n
struct MeanSquaredError : Loss<MeanSquaredError> {
  static constexpr int slope_of = 0;
  static Value composite(Value a, Value b) { return mean_squared_error_composite(a, b); }
  Tensors<1> value(Tensors<2> in) const {
    const Tensor y = empty(1, 1);
    kernels::current().mean_squared_error(in[0].size(), in[0].f32(), in[1].f32(), y.f32());
    return {y};
  }
  static Tensor slope(Tensor a, Tensor b, Tensor dy) {
    const Tensor d = empty(a.rows, a.cols);
    kernels::current().mean_squared_error_gradient(d.size(), a.f32(), b.f32(), dy.f32(), d.f32());
    return d;
  }
};

// Of one shape and float32: what the kernels take.
bool alike(Value a, Value b) {
  return a.rows() == b.rows() && a.cols() == b.cols() && a.dtype() == DType::float32 && b.dtype() == DType::float32;
}

// Where mass at `where` goes on the grid linspace(v_min, v_max, atoms): share `high_share` to `low + 1`, the rest to `low`.
template <class T>
struct GridShare {
  int64_t low;
  T high_share;
  GridShare(T where, T v_min, T v_max, int64_t atoms) {
    const T step = (v_max - v_min) / T(atoms - 1);
    const T position = (std::clamp(where, v_min, v_max) - v_min) / step;
    low = std::min(static_cast<int64_t>(position), atoms - 2);
    high_share = std::min(position - T(low), T(1));
  }
};

// The two linear maps of the C51 projection, each the other's transpose. The positions have no derivative: the target
// distribution is a constant of the critic's loss.
struct C51Project {
  double v_min, v_max;
  bool transpose;
  static constexpr int inputs = 2, outputs = 1;   // prob (or dy), where
  static constexpr unsigned row_inputs = 0b11;
  Tensors<1> value(Tensors<2> in) const {
    const auto [x, where] = in;
    if (x.rows != where.rows || x.cols != where.cols || x.cols < 2 || x.dtype != where.dtype)
      throw Error(message("c51_project: masses ", detail::shape(x), " at positions ", detail::shape(where)));
    if (x.dtype == DType::float32) {
      const Tensor y = empty(x.rows, x.cols);
      if (transpose)
        kernels::current().c51_project_transpose(x.rows, x.cols, float(v_min), float(v_max), where.f32(), x.f32(), y.f32());
      else
        kernels::current().c51_project(x.rows, x.cols, float(v_min), float(v_max), x.f32(), where.f32(), y.f32());
      return {y};
    }
    const Tensor y = zeros(x.rows, x.cols, x.dtype);
    for (int64_t i = 0; i < x.rows; ++i)
      for (int64_t j = 0; j < x.cols; ++j) {
        const GridShare<double> s(where.as<double>()[i * x.cols + j], v_min, v_max, x.cols);
        const double* from = x.as<double>() + i * x.cols;
        double* to = y.as<double>() + i * x.cols;
        if (transpose) {
          to[j] = (1 - s.high_share) * from[s.low] + s.high_share * from[s.low + 1];
        } else {
          to[s.low] += (1 - s.high_share) * from[j];
          to[s.low + 1] += s.high_share * from[j];
        }
      }
    return {y};
  }
  Values<1> pushforward(Values<2> in, Values<1>, Values<2> d) const {
    if (d[1]) throw Error("c51_project: the positions have no derivative");
    return perform(*this, {d[0], in[1]});
  }
  void pullback(Values<2> in, Values<1>, Values<1> dy, Cotangents c) const {
    if (c.wants(1)) throw Error("c51_project: the positions have no derivative");
    c.add(0, perform(C51Project{v_min, v_max, !transpose}, {dy[0], in[1]})[0]);
  }
};

// The normal distribution function's mass between two bounds, computed on the side where it is small.
double normal_mass(double low, double high) {
  const double root = std::numbers::sqrt2;
  return low > 0 ? 0.5 * (std::erfc(low / root) - std::erfc(high / root))
                 : 0.5 * (std::erfc(-high / root) - std::erfc(-low / root));
}

// By bisection, for tests: |bounds| below 37, where erfc does not underflow.
double truncated_normal_in_double(double low, double high, double f) {
  double left = low, right = high;
  const double mass = normal_mass(low, high);
  for (int i = 0; i < 200; ++i) {
    const double mid = 0.5 * (left + right);
    (normal_mass(low, mid) < f * mass ? left : right) = mid;
  }
  return 0.5 * (left + right);
}

template <class F>
Tensor map_three(Tensor a, Tensor b, Tensor c, F f) {
  const Tensor y = empty(a.rows, a.cols, a.dtype);
  for (int64_t i = 0; i < a.size(); ++i)
    y.as<double>()[i] = f(a.as<double>()[i], b.as<double>()[i], c.as<double>()[i]);
  return y;
}

// m = (Phi(upper) - Phi(lower)) / phi(y)
//   dm = exp((y^2 - upper^2) / 2) dupper - exp((y^2 - lower^2) / 2) dlower + y m dy
struct NormalMassRatio {
  static constexpr int inputs = 3, outputs = 1;   // lower, upper, y
  static constexpr unsigned row_inputs = 0b111;
  Tensors<1> value(Tensors<3> in) const {
    const auto [lower, upper, y] = in;
    if (y.dtype == DType::float64)
      return {map_three(lower, upper, y, [](double a, double b, double v) {
        return normal_mass(a, b) * std::sqrt(2 * std::numbers::pi) * std::exp(0.5 * v * v);
      })};
    const Tensor m = empty(y.rows, y.cols);
    kernels::current().normal_mass_ratio(y.size(), lower.f32(), upper.f32(), y.f32(), m.f32());
    return {m};
  }
  static Values<3> slopes(Values<3> in, Value m) {
    const auto [lower, upper, y] = in;
    return {-exp(0.5 * ((y - lower) * (y + lower))), exp(0.5 * ((y - upper) * (y + upper))), y * m};
  }
  Values<1> pushforward(Values<3> in, Values<1> m, Values<3> d) const {
    const Values<3> slope = slopes(in, m[0]);
    return {slope[0] * d[0] + slope[1] * d[1] + slope[2] * d[2]};
  }
  void pullback(Values<3> in, Values<1> m, Values<1> dm, Cotangents c) const {
    const Values<3> slope = slopes(in, m[0]);
    for (int i : {0, 1, 2}) c.add(i, slope[i] * dm[0]);
  }
};

// Phi(y) = (1 - f) Phi(lower) + f Phi(upper). With phi the density:
//   dy = (1 - f) phi(lower) / phi(y) dlower + f phi(upper) / phi(y) dupper + (Phi(upper) - Phi(lower)) / phi(y) df
struct TruncatedNormal {
  static constexpr int inputs = 3, outputs = 1;   // lower, upper, f
  static constexpr unsigned row_inputs = 0b111;
  Tensors<1> value(Tensors<3> in) const {
    const auto [lower, upper, f] = in;
    if (lower.size() != f.size() || upper.size() != f.size() || lower.rows != f.rows || upper.rows != f.rows)
      throw Error(message("truncated_normal: bounds ", detail::shape(lower), ", ", detail::shape(upper), " and f ",
                          detail::shape(f), " must have one shape"));
    if (f.dtype == DType::float64) return {map_three(lower, upper, f, truncated_normal_in_double)};
    const Tensor y = empty(f.rows, f.cols);
    kernels::current().truncated_normal(f.size(), lower.f32(), upper.f32(), f.f32(), y.f32());
    return {y};
  }
  static Values<3> slopes(Values<3> in, Value y) {
    const auto [lower, upper, f] = in;
    return {(1 - f) * exp(0.5 * ((y - lower) * (y + lower))), f * exp(0.5 * ((y - upper) * (y + upper))),
            perform(NormalMassRatio{}, {lower, upper, y})[0]};
  }
  Values<1> pushforward(Values<3> in, Values<1> y, Values<3> d) const {
    const Values<3> slope = slopes(in, y[0]);
    return {slope[0] * d[0] + slope[1] * d[1] + slope[2] * d[2]};
  }
  void pullback(Values<3> in, Values<1> y, Values<1> dy, Cotangents c) const {
    const Values<3> slope = slopes(in, y[0]);
    for (int i : {0, 1, 2}) c.add(i, slope[i] * dy[0]);
  }
};

}  // namespace

Value softmax(Value x) { return perform(Softmax{}, {x})[0]; }
Value log_sum_exp(Value x) { return perform(LogSumExp{}, {x})[0]; }
Value log_softmax(Value x) { return x - log_sum_exp(x); }
Value softmax_expectation(Value x, Value value) { return perform(SoftmaxExpectation{}, {x, value})[0]; }
Value cross_entropy(Value target, Value logits) {
  if (!alike(target, logits)) return cross_entropy_composite(target, logits);
  return perform(CrossEntropy{}, {target, logits})[0];
}
Value mean_squared_error(Value a, Value b) {
  if (!alike(a, b)) return mean_squared_error_composite(a, b);
  return perform(MeanSquaredError{}, {a, b})[0];
}
Value normal_log_prob(Value x) {
  if (!x.plain() || x.dtype() != DType::float32)
    return -0.5 * sum_row(square(x)) - kernels::half_log_two_pi * double(x.cols());
  const Tensor y = empty(x.rows(), 1);
  kernels::current().normal_log_prob(x.rows(), x.cols(), x.detached.f32(), y.f32());
  return y;
}
Value c51_project(Value prob, Value where, double v_min, double v_max) {
  return perform(C51Project{v_min, v_max, false}, {prob, where})[0];
}
Value truncated_normal(Value lower, Value upper, Value f) { return perform(TruncatedNormal{}, {lower, upper, f})[0]; }

}  // namespace meander
