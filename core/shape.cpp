#include <meander/core/elements.h>
#include <meander/core/operations.h>

namespace meander {
namespace {

// y = [a, b, ...]; a row count of 1 is repeated.
template <int parts>
struct ConcatColumns {
  static constexpr int inputs = parts, outputs = 1;
  static constexpr unsigned row_inputs = (1u << parts) - 1;
  Tensors<1> value(Tensors<parts> in) const {
    int64_t rows = 1, cols = 0;
    for (const Tensor x : in) rows = std::max(rows, x.rows), cols += x.cols;
    for (const Tensor x : in)
      if (x.dtype != in[0].dtype || (x.rows != rows && x.rows != 1))
        throw Error(message("concat_columns: ", detail::shape(in[0]), " and ", detail::shape(x), " do not fit"));
    const Tensor y = empty(rows, cols, in[0].dtype);
    detail::by_dtype(y.dtype, kernels::current().concat_columns, kernels::concat_columns<double>,
                     [&]<class T>(T, auto kernel) {
                       std::array<kernels::ColumnsArguments<T>, parts> of;
                       for (int i = 0; i < parts; ++i) {
                         const Tensor x = in[i];
                         of[i] = {x.cols, x.as<T>(), x.rows == 1 ? rows : 1};
                       }
                       kernel(rows, of, y.as<T>());
                     });
    return {y};
  }
  Values<1> pushforward(Values<parts> in, Values<1> y, Values<parts> d) const {
    for (int i = 0; i < parts; ++i)
      d[i] = d[i] ? broadcast_to(d[i], y[0].rows(), in[i].cols()) : Value(zeros(1, in[i].cols(), y[0].dtype()));
    return perform(*this, d);
  }
  void pullback(Values<parts> in, Values<1>, Values<1> dy, Cotangents c) const {
    int64_t first = 0;
    for (int i = 0; i < parts; first += in[i++].cols())
      if (c.wants(i)) c.add(i, sum_to(slice_columns(dy[0], first, in[i].cols()), in[i].rows(), in[i].cols()));
  }
};

// y[i, j] = x[i, first + j]
struct SliceColumns {
  int64_t first, count;
  static constexpr int inputs = 1, outputs = 1;
  static constexpr unsigned row_inputs = 0b1;
  Tensors<1> value(Tensors<1> in) const {
    const Tensor x = in[0];
    if (first < 0 || count < 0 || first + count > x.cols)
      throw Error(message("slice_columns: columns ", first, " to ", first + count, " of ", detail::shape(x)));
    const Tensor y = empty(x.rows, count, x.dtype);
    detail::copy_matrix(x.rows, count, x, first, x.cols, 1, y, 0, count);
    return {y};
  }
  Values<1> pushforward(Values<1>, Values<1>, Values<1> d) const { return {slice_columns(d[0], first, count)}; }
  void pullback(Values<1> in, Values<1>, Values<1> dy, Cotangents c) const {
    c.add(0, pad_columns(dy[0], first, in[0].cols()));
  }
};

// y[i, first + j] = x[i, j], zero elsewhere
struct PadColumns {
  int64_t first, cols;
  static constexpr int inputs = 1, outputs = 1;
  static constexpr unsigned row_inputs = 0b1;
  Tensors<1> value(Tensors<1> in) const {
    const Tensor x = in[0], y = zeros(x.rows, cols, x.dtype);
    detail::copy_matrix(x.rows, x.cols, x, 0, x.cols, 1, y, first, cols);
    return {y};
  }
  Values<1> pushforward(Values<1>, Values<1>, Values<1> d) const { return {pad_columns(d[0], first, cols)}; }
  void pullback(Values<1> in, Values<1>, Values<1> dy, Cotangents c) const {
    c.add(0, slice_columns(dy[0], first, in[0].cols()));
  }
};

// y[i] = x[first + i]: a view
struct SliceRows {
  int64_t first, count;
  static constexpr int inputs = 1, outputs = 1;
  static constexpr unsigned row_inputs = 0;
  Tensors<1> value(Tensors<1> in) const {
    if (first < 0 || count < 0 || first + count > in[0].rows)
      throw Error(message("slice_rows: rows ", first, " to ", first + count, " of ", detail::shape(in[0])));
    return {in[0].slice_rows(first, count)};
  }
  Values<1> pushforward(Values<1>, Values<1>, Values<1> d) const { return {slice_rows(d[0], first, count)}; }
  void pullback(Values<1> in, Values<1>, Values<1> dy, Cotangents c) const {
    c.add(0, pad_rows(dy[0], first, in[0].rows()));
  }
};

// y[first + i] = x[i], zero elsewhere
struct PadRows {
  int64_t first, rows;
  static constexpr int inputs = 1, outputs = 1;
  static constexpr unsigned row_inputs = 0;
  Tensors<1> value(Tensors<1> in) const {
    const Tensor x = in[0], y = zeros(rows, x.cols, x.dtype);
    kernels::current().copy(y.slice_rows(first, x.rows).data, x.data, static_cast<size_t>(x.size() * bytes(x.dtype)));
    return {y};
  }
  Values<1> pushforward(Values<1>, Values<1>, Values<1> d) const { return {pad_rows(d[0], first, rows)}; }
  void pullback(Values<1> in, Values<1>, Values<1> dy, Cotangents c) const {
    c.add(0, slice_rows(dy[0], first, in[0].rows()));
  }
};

// The same numbers under another shape: a view
struct Reshape {
  int64_t rows, cols;
  static constexpr int inputs = 1, outputs = 1;
  static constexpr unsigned row_inputs = 0;
  Tensors<1> value(Tensors<1> in) const {
    if (rows * cols != in[0].size())
      throw Error(message("reshape: ", detail::shape(in[0]), " has not the size of [", rows, ", ", cols, "]"));
    return {in[0].reshape(rows, cols)};
  }
  Values<1> pushforward(Values<1>, Values<1>, Values<1> d) const { return {reshape(d[0], rows, cols)}; }
  void pullback(Values<1> in, Values<1>, Values<1> dy, Cotangents c) const {
    c.add(0, reshape(dy[0], in[0].rows(), in[0].cols()));
  }
};

// y = flat[offset ...]: a view of one parameter
struct Parameter {
  int64_t offset, rows, cols;
  static constexpr int inputs = 1, outputs = 1;
  static constexpr unsigned row_inputs = 0;
  Tensors<1> value(Tensors<1> in) const {
    const Tensor flat = in[0];
    if (flat.rows != 1 || offset < 0 || offset + rows * cols > flat.cols)
      throw Error(message("parameter: elements ", offset, " to ", offset + rows * cols, " of ", detail::shape(flat)));
    return {flat.reshape(flat.cols, 1).slice_rows(offset, rows * cols).reshape(rows, cols)};
  }
  Values<1> pushforward(Values<1>, Values<1>, Values<1> d) const { return {parameter(d[0], offset, rows, cols)}; }
  void pullback(Values<1> in, Values<1>, Values<1> dy, Cotangents c) const {
    if (!c.wants(0)) return;
    if (!dy[0].plain() || !c.in_place(0)) return c.add(0, embed(dy[0], offset, in[0].cols()));
    const Tensor sum = c.accumulator(0);
    detail::by_dtype(sum.dtype, kernels::current().add_to, kernels::add_to<double>, [&]<class T>(T, auto kernel) {
      kernel(rows * cols, dy[0].detached.as<T>(), sum.as<T>() + offset);
    });
  }
};

// y = 0 ... x ... 0, [1, size]
struct Embed {
  int64_t offset, size;
  static constexpr int inputs = 1, outputs = 1;
  static constexpr unsigned row_inputs = 0;
  Tensors<1> value(Tensors<1> in) const {
    const Tensor x = in[0], y = zeros(1, size, x.dtype);
    kernels::current().copy(static_cast<std::byte*>(y.data) + offset * bytes(x.dtype), x.data,
                            static_cast<size_t>(x.size() * bytes(x.dtype)));
    return {y};
  }
  Values<1> pushforward(Values<1>, Values<1>, Values<1> d) const { return {embed(d[0], offset, size)}; }
  void pullback(Values<1> in, Values<1>, Values<1> dy, Cotangents c) const {
    c.add(0, parameter(dy[0], offset, in[0].rows(), in[0].cols()));
  }
};

// one[i, column[i]] = 1, else 0
Tensor one_hot(Tensor column, int64_t cols, DType dtype) {
  const Tensor y = empty(column.rows, cols, dtype);
  detail::by_dtype(dtype, kernels::current().one_hot, kernels::one_hot<double>, [&]<class T>(T, auto kernel) {
    kernel(column.rows, cols, column.as<int32_t>(), y.as<T>());
  });
  return y;
}

// Where the host can look at them.
void check_indices(const char* what, Tensor index, int64_t bound) {
  if (!kernels::on_cpu()) return;
  for (int64_t i = 0; i < index.rows; ++i)
    if (const int32_t k = index.as<int32_t>()[i]; k < 0 || k >= bound)
      throw Error(message(what, ": index ", k, " in row ", i, " is outside 0 to ", bound - 1));
}

// y[i] = x[i, column[i]]
struct GatherRow {
  static constexpr int inputs = 2, outputs = 1;
  static constexpr unsigned row_inputs = 0b11;
  Tensors<1> value(Tensors<2> in) const {
    const Tensor x = in[0], column = in[1];
    if (column.rows != x.rows) throw Error(message("gather_row: ", column.rows, " indices for ", detail::shape(x)));
    check_indices("gather_row", column, x.cols);
    const Tensor y = empty(x.rows, 1, x.dtype);
    detail::by_dtype(x.dtype, kernels::current().gather_row, kernels::gather_row<double>, [&]<class T>(T, auto kernel) {
      kernel(x.rows, x.cols, x.as<T>(), column.as<int32_t>(), y.as<T>());
    });
    return {y};
  }
  Values<1> pushforward(Values<2> in, Values<1>, Values<2> d) const { return {gather_row(d[0], in[1].detached)}; }
  void pullback(Values<2> in, Values<1>, Values<1> dy, Cotangents c) const {
    c.add(0, Value(one_hot(in[1].detached, in[0].cols(), dy[0].dtype())) * dy[0]);
  }
};

// y[i] = x[row[i]]
struct GatherRows {
  static constexpr int inputs = 2, outputs = 1;
  static constexpr unsigned row_inputs = 0;
  Tensors<1> value(Tensors<2> in) const {
    const Tensor x = in[0], row = in[1];
    check_indices("gather_rows", row, x.rows);
    const Tensor y = empty(row.rows, x.cols, x.dtype);
    detail::by_dtype(x.dtype, kernels::current().gather_rows, kernels::gather_rows<double>, [&]<class T>(T, auto kernel) {
      kernel(row.rows, x.cols, x.as<T>(), row.as<int32_t>(), y.as<T>());
    });
    return {y};
  }
  Values<1> pushforward(Values<2> in, Values<1>, Values<2> d) const { return {gather_rows(d[0], in[1].detached)}; }
  void pullback(Values<2> in, Values<1>, Values<1> dy, Cotangents c) const {
    c.add(0, product_tn(Value(one_hot(in[1].detached, in[0].rows(), dy[0].dtype())), dy[0]));
  }
};

}  // namespace

Value concat_columns(Value a, Value b) { return perform(ConcatColumns<2>{}, {a, b})[0]; }
Value concat_columns(Value a, Value b, Value c) { return perform(ConcatColumns<3>{}, {a, b, c})[0]; }
Value slice_columns(Value x, int64_t first, int64_t count) {
  return x ? perform(SliceColumns{first, count}, {x})[0] : Value();
}
Value pad_columns(Value x, int64_t first, int64_t cols) { return x ? perform(PadColumns{first, cols}, {x})[0] : Value(); }
Value slice_rows(Value x, int64_t first, int64_t count) {
  return x ? perform(SliceRows{first, count}, {x})[0] : Value();
}
Value pad_rows(Value x, int64_t first, int64_t rows) { return x ? perform(PadRows{first, rows}, {x})[0] : Value(); }
Value reshape(Value x, int64_t rows, int64_t cols) { return x ? perform(Reshape{rows, cols}, {x})[0] : Value(); }
Value parameter(Value flat, int64_t offset, int64_t rows, int64_t cols) {
  return flat ? perform(Parameter{offset, rows, cols}, {flat})[0] : Value();
}
Value embed(Value x, int64_t offset, int64_t size) { return x ? perform(Embed{offset, size}, {x})[0] : Value(); }
Value gather_row(Value x, Tensor column) { return x ? perform(GatherRow{}, {x, column})[0] : Value(); }
Value gather_rows(Value x, Tensor row) { return x ? perform(GatherRows{}, {x, row})[0] : Value(); }

Tensor argmax_row(Tensor x, int64_t row_step) {
  const Tensor y = empty(x.rows, 1, DType::int32);
  detail::by_dtype(x.dtype, kernels::current().argmax_row, kernels::argmax_row<double>, [&]<class T>(T, auto kernel) {
    kernel(x.rows, x.cols, row_step, x.as<T>(), y.as<int32_t>());
  });
  return y;
}

}  // namespace meander
