#include <meander/core/elements.h>
#include <meander/core/operations.h>

namespace meander {
namespace {

// y[i] = sum_j x[i, j]
struct SumRow {
  static constexpr int inputs = 1, outputs = 1;
  static constexpr unsigned row_inputs = 0b1;
  Tensors<1> value(Tensors<1> in) const {
    const Tensor x = in[0], y = empty(x.rows, 1, x.dtype);
    if (x.dtype == DType::float32) {
      kernels::current().sum_row(x.rows, x.cols, x.f32(), y.f32());
    } else {
      for (int64_t i = 0; i < x.rows; ++i) {
        double sum = 0;
        for (int64_t j = 0; j < x.cols; ++j) sum += x.as<double>()[i * x.cols + j];
        y.as<double>()[i] = sum;
      }
    }
    return {y};
  }
  Values<1> pushforward(Values<1>, Values<1>, Values<1> d) const { return {sum_row(d[0])}; }
  void pullback(Values<1> in, Values<1>, Values<1> dy, Cotangents c) const {
    c.add(0, broadcast_to(dy[0], in[0].rows(), in[0].cols()));
  }
};

// y[j] = sum_i x[i, j]
struct SumColumn {
  static constexpr int inputs = 1, outputs = 1;
  static constexpr unsigned row_inputs = 0;
  Tensors<1> value(Tensors<1> in) const {
    const Tensor x = in[0];
    if (x.dtype == DType::float32) {
      const Tensor y = empty(1, x.cols);
      kernels::current().sum_column(x.rows, x.cols, x.f32(), y.f32());
      return {y};
    }
    const Tensor y = zeros(1, x.cols, x.dtype);
    for (int64_t i = 0; i < x.rows; ++i)
      for (int64_t j = 0; j < x.cols; ++j) y.as<double>()[j] += x.as<double>()[i * x.cols + j];
    return {y};
  }
  Values<1> pushforward(Values<1>, Values<1>, Values<1> d) const { return {sum_column(d[0])}; }
  void pullback(Values<1> in, Values<1>, Values<1> dy, Cotangents c) const {
    c.add(0, broadcast_to(dy[0], in[0].rows(), in[0].cols()));
  }
};

// y = mean of all x[i, j]
struct MeanAll {
  static constexpr int inputs = 1, outputs = 1;
  static constexpr unsigned row_inputs = 0;
  Tensors<1> value(Tensors<1> in) const {
    const Tensor x = in[0], y = empty(1, 1, x.dtype);
    if (x.dtype == DType::float32) {
      kernels::current().mean(x.size(), x.f32(), y.f32());
    } else {
      double sum = 0;
      for (int64_t i = 0; i < x.size(); ++i) sum += x.as<double>()[i];
      y.as<double>()[0] = sum / double(x.size());
    }
    return {y};
  }
  Values<1> pushforward(Values<1>, Values<1>, Values<1> d) const { return {mean_all(d[0])}; }
  void pullback(Values<1> in, Values<1>, Values<1> dy, Cotangents c) const {
    c.add(0, broadcast_to(dy[0] / double(in[0].detached.size()), in[0].rows(), in[0].cols()));
  }
};

// y[i, j] = x[i or 0, j or 0]
struct BroadcastTo {
  int64_t rows, cols;
  static constexpr int inputs = 1, outputs = 1;
  static constexpr unsigned row_inputs = 0;
  Tensors<1> value(Tensors<1> in) const {
    const Tensor x = in[0], y = empty(rows, cols, x.dtype);
    if ((x.rows != rows && x.rows != 1) || (x.cols != cols && x.cols != 1))
      throw Error(message("broadcast_to: ", detail::shape(x), " does not fit [", rows, ", ", cols, "]"));
    detail::by_dtype(x.dtype, kernels::current().binary, kernels::binary<double>, [&]<class T>(T, auto kernel) {
      // The right side is not looked at.
      kernel(kernels::Binary::left, rows, cols, x.as<T>(), x.rows, x.cols, x.as<T>(), 1, 1, y.as<T>());
    });
    return {y};
  }
  Values<1> pushforward(Values<1>, Values<1>, Values<1> d) const { return {broadcast_to(d[0], rows, cols)}; }
  void pullback(Values<1> in, Values<1>, Values<1> dy, Cotangents c) const {
    c.add(0, sum_to(dy[0], in[0].rows(), in[0].cols()));
  }
};

// y[i times + k] = x[i]
struct RepeatRows {
  int64_t times;
  static constexpr int inputs = 1, outputs = 1;
  static constexpr unsigned row_inputs = 0;
  Tensors<1> value(Tensors<1> in) const {
    const Tensor x = in[0], y = empty(x.rows * times, x.cols, x.dtype);
    detail::copy_matrix(y.rows, x.cols, x, 0, x.cols, times, y, 0, x.cols);
    return {y};
  }
  Values<1> pushforward(Values<1>, Values<1>, Values<1> d) const { return {repeat_rows(d[0], times)}; }
  void pullback(Values<1>, Values<1>, Values<1> dy, Cotangents c) const { c.add(0, sum_groups(dy[0], times)); }
};

// y[i] = sum_k x[i size + k]
struct SumGroups {
  int64_t group;
  static constexpr int inputs = 1, outputs = 1;
  static constexpr unsigned row_inputs = 0;
  Tensors<1> value(Tensors<1> in) const {
    const Tensor x = in[0];
    if (x.rows % group != 0)
      throw Error(message("sum_groups: ", x.rows, " rows do not divide into groups of ", group));
    const Tensor y = empty(x.rows / group, x.cols, x.dtype);
    detail::by_dtype(x.dtype, kernels::current().sum_groups, kernels::sum_groups<double>, [&]<class T>(T, auto kernel) {
      kernel(y.rows, y.cols, group, x.as<T>(), y.as<T>());
    });
    return {y};
  }
  Values<1> pushforward(Values<1>, Values<1>, Values<1> d) const { return {sum_groups(d[0], group)}; }
  void pullback(Values<1>, Values<1>, Values<1> dy, Cotangents c) const { c.add(0, repeat_rows(dy[0], group)); }
};

}  // namespace

Value sum_row(Value x) { return x ? perform(SumRow{}, {x})[0] : Value(); }
Value sum_column(Value x) { return x ? perform(SumColumn{}, {x})[0] : Value(); }
Value sum_all(Value x) { return sum_column(sum_row(x)); }
Value mean_row(Value x) { return x ? sum_row(x) / double(x.cols()) : Value(); }
Value mean_column(Value x) { return x ? sum_column(x) / double(x.rows()) : Value(); }
Value mean_all(Value x) { return x ? perform(MeanAll{}, {x})[0] : Value(); }
Value broadcast_to(Value x, int64_t rows, int64_t cols) {
  if (!x || (x.rows() == rows && x.cols() == cols)) return x;
  return perform(BroadcastTo{rows, cols}, {x})[0];
}
Value sum_to(Value x, int64_t rows, int64_t cols) {
  if (x && cols == 1 && x.cols() != 1) x = sum_row(x);
  if (x && rows == 1 && x.rows() != 1) x = sum_column(x);
  return x;
}
Value repeat_rows(Value x, int64_t times) { return !x || times == 1 ? x : perform(RepeatRows{times}, {x})[0]; }
Value sum_groups(Value x, int64_t size) { return !x || size == 1 ? x : perform(SumGroups{size}, {x})[0]; }

}  // namespace meander
