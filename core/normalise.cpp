#include <meander/core/elements.h>
#include <meander/core/operations.h>
#include <meander/kernels/rows.h>

namespace meander {
namespace {

// n = (x - mean) rstd, rstd = 1 / sqrt(variance + eps), by row; the variance in two passes.
//   dn    = rstd (dx - mean(dx) - n mean(n dx))
//   drstd = -rstd^2 mean(n dx)
struct Normalise {
  double eps;
  static constexpr int inputs = 1, outputs = 2;
  static constexpr unsigned row_inputs = 0b1;
  Tensors<2> value(Tensors<1> in) const {
    const Tensor x = in[0], n = empty(x.rows, x.cols, x.dtype), rstd = empty(x.rows, 1, x.dtype);
    if (x.dtype == DType::float32) {
      ArenaScope scope;
      const Tensor one = full(1, x.cols, 1), zero = full(1, x.cols, 0), y = empty(x.rows, x.cols);
      kernels::current().layer_norm(x.rows, x.cols, float(eps), x.f32(), one.f32(), zero.f32(), y.f32(), n.f32(), rstd.f32());
      return {n, rstd};
    }
    for (int64_t i = 0; i < x.rows; ++i) {
      const double* row = x.as<double>() + i * x.cols;
      double mean = 0, variance = 0;
      for (int64_t j = 0; j < x.cols; ++j) mean += row[j] / double(x.cols);
      for (int64_t j = 0; j < x.cols; ++j) variance += (row[j] - mean) * (row[j] - mean) / double(x.cols);
      const double r = rstd.as<double>()[i] = 1 / std::sqrt(variance + eps);
      for (int64_t j = 0; j < x.cols; ++j) n.as<double>()[i * x.cols + j] = (row[j] - mean) * r;
    }
    return {n, rstd};
  }
  Values<2> pushforward(Values<1>, Values<2> out, Values<1> d) const {
    const auto [n, rstd] = out;
    const Value along = mean_row(n * d[0]);
    return {rstd * (d[0] - mean_row(d[0]) - n * along), -(rstd * rstd * along)};
  }
  void pullback(Values<1>, Values<2> out, Values<2> cotangent, Cotangents c) const {
    const auto [n, rstd] = out;
    const auto [dn, drstd] = cotangent;
    if (dn) c.add(0, rstd * (dn - mean_row(dn) - n * mean_row(n * dn)));
    if (drstd) c.add(0, -(drstd * rstd * rstd * n) / double(n.cols()));
  }
};

}  // namespace

Values<2> normalise(Value x, double eps) { return perform(Normalise{eps}, {x}); }

Value layer_norm(Value x, Value scale, Value shift, double eps) { return normalise(x, eps)[0] * scale + shift; }

}  // namespace meander
