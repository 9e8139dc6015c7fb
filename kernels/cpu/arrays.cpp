#include "kernels/arrays.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

namespace meander::kernels {
namespace {

// Copies one row: of the few numbers that most have a loop takes less time than a call of memmove.
template <class T>
void copy_row(const T* from, int64_t n, T* to) {
  for (int64_t j = 0; j < n; ++j) to[j] = from[j];
}

template <class T, class F>
void map_broadcast(int64_t rows, int64_t cols, const T* a, int64_t a_rows, int64_t a_cols, const T* b, int64_t b_rows,
                   int64_t b_cols, T* y, F f) {
  const auto flat = [&](int64_t r, int64_t c) { return r * c == rows * cols || r * c == 1; };
  if (flat(a_rows, a_cols) && flat(b_rows, b_cols)) {   // one long row: narrow ones are slow
    a_cols *= std::exchange(a_rows, 1);
    b_cols *= std::exchange(b_rows, 1);
    cols *= std::exchange(rows, 1);
  }
  const int64_t a_row = a_rows == 1 ? 0 : a_cols, b_row = b_rows == 1 ? 0 : b_cols;
  for (int64_t i = 0; i < rows; ++i, a += a_row, b += b_row, y += cols) {
    if (a_cols == cols && b_cols == cols)
      for (int64_t j = 0; j < cols; ++j) y[j] = f(a[j], b[j]);
    else if (b_cols == cols)
      for (int64_t j = 0; j < cols; ++j) y[j] = f(a[0], b[j]);
    else if (a_cols == cols)
      for (int64_t j = 0; j < cols; ++j) y[j] = f(a[j], b[0]);
    else
      for (int64_t j = 0; j < cols; ++j) y[j] = f(a[0], b[0]);
  }
}

}  // namespace

// ---- element by element ----------------------------------------------------------------------------------------------

template <class T>
void fill_value(int64_t n, T value, T* y) {
  std::fill_n(y, n, value);
}

template <class T>
void binary(Binary op, int64_t rows, int64_t cols, const T* a, int64_t a_rows, int64_t a_cols, const T* b,
            int64_t b_rows, int64_t b_cols, T* y) {
  const auto apply = [&](auto f) { map_broadcast(rows, cols, a, a_rows, a_cols, b, b_rows, b_cols, y, f); };
  switch (op) {
    case Binary::add: return apply([](T x, T z) { return x + z; });
    case Binary::multiply: return apply([](T x, T z) { return x * z; });
    case Binary::divide: return apply([](T x, T z) { return x / z; });
    case Binary::less: return apply([](T x, T z) { return T(x < z); });
    case Binary::left: return apply([](T x, T) { return x; });
    case Binary::where: return apply([](T x, T z) { return x != 0 ? z : T(0); });
    case Binary::where_not: return apply([](T x, T z) { return x != 0 ? T(0) : z; });
  }
}

template <class T>
void affine(int64_t n, T scale, T offset, const T* x, T* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = scale * x[i] + offset;
}
template <class T>
void square_root(int64_t n, const T* x, T* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = std::sqrt(x[i]);
}
template <class T>
void clip(int64_t n, T low, T high, const T* x, T* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] < low ? low : x[i] > high ? high : x[i];
}
template <class T>
void inside(int64_t n, T low, T high, const T* x, T* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = T(low <= x[i] && x[i] <= high);
}
template <class T>
void add_to(int64_t n, const T* x, T* y) {
  for (int64_t i = 0; i < n; ++i) y[i] += x[i];
}

// ---- rows ------------------------------------------------------------------------------------------------------------

template <class T>
void copy_matrix(int64_t rows, int64_t cols, const T* x, int64_t x_stride, int64_t group, T* y, int64_t y_stride) {
  if (group == 1 && x_stride == cols && y_stride == cols) {   // nothing between the rows
    if (rows * cols > 0) std::memcpy(y, x, static_cast<size_t>(rows * cols) * sizeof(T));
    return;
  }
  for (int64_t i = 0; i < rows; i += group, x += x_stride)
    for (int64_t k = i; k < std::min(i + group, rows); ++k, y += y_stride) copy_row(x, cols, y);
}

template <class T>
void sum_groups(int64_t rows, int64_t cols, int64_t group, const T* x, T* y) {
  for (int64_t i = 0; i < rows; ++i, y += cols) {
    std::fill_n(y, cols, T(0));
    for (int64_t k = 0; k < group; ++k, x += cols)
      for (int64_t j = 0; j < cols; ++j) y[j] += x[j];
  }
}

template <class T>
void argmax_row(int64_t rows, int64_t cols, int64_t row_step, const T* x, int32_t* index) {
  for (int64_t i = 0; i < rows; ++i) {
    const T* row = x + i * cols;
    index[i] = static_cast<int32_t>(std::max_element(row, row + cols) - row + i * row_step);
  }
}
template <class T>
void one_hot(int64_t rows, int64_t cols, const int32_t* column, T* y) {
  std::fill_n(y, rows * cols, T(0));
  for (int64_t i = 0; i < rows; ++i) y[i * cols + column[i]] = 1;
}
template <class T>
void gather_row(int64_t rows, int64_t cols, const T* x, const int32_t* column, T* y) {
  for (int64_t i = 0; i < rows; ++i) y[i] = x[i * cols + column[i]];
}
template <class T>
void gather_rows(int64_t rows, int64_t cols, const T* x, const int32_t* row, T* y) {
  for (int64_t i = 0; i < rows; ++i) copy_row(x + row[i] * cols, cols, y + i * cols);
}

template <class T>
void flag_not_finite(int64_t n, const T* x, uint32_t* flag) {
  int found = 0;   // of all, without a branch, so that it runs in vectors
  for (int64_t i = 0; i < n; ++i) found |= x[i] - x[i] != 0;
  if (found) *flag = 1;
}

// ---- for float and double --------------------------------------------------------------------------------------------

template void fill_value(int64_t, float, float*);
template void fill_value(int64_t, double, double*);
template void binary(Binary, int64_t, int64_t, const float*, int64_t, int64_t, const float*, int64_t, int64_t, float*);
template void binary(Binary, int64_t, int64_t, const double*, int64_t, int64_t, const double*, int64_t, int64_t,
                     double*);
template void affine(int64_t, float, float, const float*, float*);
template void affine(int64_t, double, double, const double*, double*);
template void square_root(int64_t, const float*, float*);
template void square_root(int64_t, const double*, double*);
template void clip(int64_t, float, float, const float*, float*);
template void clip(int64_t, double, double, const double*, double*);
template void inside(int64_t, float, float, const float*, float*);
template void inside(int64_t, double, double, const double*, double*);
template void add_to(int64_t, const float*, float*);
template void add_to(int64_t, const double*, double*);
template void copy_matrix(int64_t, int64_t, const float*, int64_t, int64_t, float*, int64_t);
template void copy_matrix(int64_t, int64_t, const double*, int64_t, int64_t, double*, int64_t);
template void sum_groups(int64_t, int64_t, int64_t, const float*, float*);
template void sum_groups(int64_t, int64_t, int64_t, const double*, double*);
template void argmax_row(int64_t, int64_t, int64_t, const float*, int32_t*);
template void argmax_row(int64_t, int64_t, int64_t, const double*, int32_t*);
template void one_hot(int64_t, int64_t, const int32_t*, float*);
template void one_hot(int64_t, int64_t, const int32_t*, double*);
template void gather_row(int64_t, int64_t, const float*, const int32_t*, float*);
template void gather_row(int64_t, int64_t, const double*, const int32_t*, double*);
template void gather_rows(int64_t, int64_t, const float*, const int32_t*, float*);
template void gather_rows(int64_t, int64_t, const double*, const int32_t*, double*);
template void flag_not_finite(int64_t, const float*, uint32_t*);
template void flag_not_finite(int64_t, const double*, uint32_t*);

}  // namespace meander::kernels
