#pragma once

#include <meander/core/arena.h>
#include <meander/kernels/error.h>
#include <meander/kernels/device.h>

// What the operations share: for their sources, core/*.cpp, alone.
namespace meander::detail {

inline std::string shape(Tensor x) { return message("[", x.rows, ", ", x.cols, "]"); }

// Calls f with a float and the kernel of the current device, or, on the CPU, with a double and its kernel for that.
template <class Single, class Double, class F>
void by_dtype(DType dtype, Single in_single, Double in_double, F&& f) {
  if (dtype == DType::float32)
    f(float{}, in_single);
  else if (dtype == DType::float64 && kernels::on_cpu())
    f(double{}, in_double);
  else
    throw Error(message("an operation on numbers got ", name(dtype), " on the device ", kernels::current().name));
}

// y[i] = f(x[i]) in double, on the CPU: what tests differentiate.
template <class F>
Tensor map_double(Tensor x, F f) {
  if (x.dtype != DType::float64) throw Error(message("an operation on numbers got ", name(x.dtype)));
  const Tensor y = empty(x.rows, x.cols, x.dtype);
  for (int64_t i = 0; i < x.size(); ++i) y.as<double>()[i] = f(x.as<double>()[i]);
  return y;
}

// y = a op b, rows and cols of 1 repeated.
inline Tensor binary(const char* what, kernels::Binary op, Tensor a, Tensor b) {
  if (a.dtype != b.dtype || (a.rows != b.rows && a.rows != 1 && b.rows != 1) ||
      (a.cols != b.cols && a.cols != 1 && b.cols != 1))
    throw Error(message(what, ": shapes ", shape(a), " ", name(a.dtype), " and ", shape(b), " ", name(b.dtype),
                        " do not fit"));
  const Tensor y = empty(a.rows == 1 ? b.rows : a.rows, a.cols == 1 ? b.cols : a.cols, a.dtype);
  by_dtype(a.dtype, kernels::current().binary, kernels::binary<double>, [&]<class T>(T, auto kernel) {
    kernel(op, y.rows, y.cols, a.as<T>(), a.rows, a.cols, b.as<T>(), b.rows, b.cols, y.as<T>());
  });
  return y;
}

// y[i y_cols + j] = x[i / group x_cols + j], i < rows, j < cols: from and to places inside larger matrices.
inline void copy_matrix(int64_t rows, int64_t cols, Tensor x, int64_t x_first, int64_t x_stride, int64_t group, Tensor y,
                        int64_t y_first, int64_t y_stride) {
  by_dtype(x.dtype, kernels::current().copy_matrix, kernels::copy_matrix<double>, [&]<class T>(T, auto kernel) {
    kernel(rows, cols, x.as<T>() + x_first, x_stride, group, y.as<T>() + y_first, y_stride);
  });
}

}  // namespace meander::detail
