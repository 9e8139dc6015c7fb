#pragma once

#include <cmath>
#include <utility>

#include "core/arena.h"
#include "core/error.h"

// Plain loops the operations share, over float and double.
namespace meander::detail {

// Calls f with a float or a double, as the dtype says.
template <class F>
void by_dtype(DType dtype, F&& f) {
  if (dtype == DType::float32)
    f(float{});
  else if (dtype == DType::float64)
    f(double{});
  else
    throw Error(message("an operation on numbers got ", name(dtype)));
}

inline std::string shape(Tensor x) { return message("[", x.rows, ", ", x.cols, "]"); }

// y[i] = f(x[i])
template <class F>
Tensor map(Tensor x, F f) {
  Tensor y = empty(x.rows, x.cols, x.dtype);
  by_dtype(x.dtype, [&]<class T>(T) {
    const T* in = x.as<T>();
    T* out = y.as<T>();
    for (int64_t i = 0; i < x.size(); ++i) out[i] = f(in[i]);
  });
  return y;
}

// y[i, j] = f(a[i, j], b[i, j]) with rows and cols of 1 repeated.
template <class F>
Tensor map_broadcast(const char* what, Tensor a, Tensor b, F f) {
  if (a.dtype != b.dtype || (a.rows != b.rows && a.rows != 1 && b.rows != 1) ||
      (a.cols != b.cols && a.cols != 1 && b.cols != 1))
    throw Error(message(what, ": shapes ", shape(a), " ", name(a.dtype), " and ", shape(b), " ", name(b.dtype),
                        " do not fit"));
  const Tensor y = empty(a.rows == 1 ? b.rows : a.rows, a.cols == 1 ? b.cols : a.cols, a.dtype);
  int64_t rows = y.rows, cols = y.cols;
  if ((a.rows == b.rows && a.cols == b.cols) || a.size() == 1 || b.size() == 1) {  // one long row: narrow ones are slow
    a = a.reshape(1, a.size()), b = b.reshape(1, b.size());
    cols *= std::exchange(rows, 1);
  }
  by_dtype(a.dtype, [&]<class T>(T) {
    const int64_t a_row = a.rows == 1 ? 0 : a.cols, b_row = b.rows == 1 ? 0 : b.cols;
    const T* pa = a.as<T>();
    const T* pb = b.as<T>();
    T* out = y.as<T>();
    for (int64_t i = 0; i < rows; ++i, pa += a_row, pb += b_row, out += cols) {
      if (a.cols == b.cols)
        for (int64_t j = 0; j < cols; ++j) out[j] = f(pa[j], pb[j]);
      else if (a.cols == 1)
        for (int64_t j = 0; j < cols; ++j) out[j] = f(pa[0], pb[j]);
      else
        for (int64_t j = 0; j < cols; ++j) out[j] = f(pa[j], pb[0]);
    }
  });
  return y;
}

}  // namespace meander::detail
