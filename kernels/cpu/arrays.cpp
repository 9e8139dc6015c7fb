#include <meander/kernels/arrays.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

namespace meander::kernels {
namespace {

// y[i, j] = f(a[i, j], b[i, j]) with rows and cols of 1 repeated.
template <class T, class F>
void broadcast(int64_t rows, int64_t cols, const T* a, int64_t a_rows, int64_t a_cols, const T* b, int64_t b_rows,
               int64_t b_cols, T* y, F f) {
  const auto whole_or_one = [&](int64_t r, int64_t c) { return (r == rows && c == cols) || (r == 1 && c == 1); };
  if (whole_or_one(a_rows, a_cols) && whole_or_one(b_rows, b_cols)) {   // one long row: narrow ones are slow
    a_cols *= std::exchange(a_rows, 1), b_cols *= std::exchange(b_rows, 1);
    cols *= std::exchange(rows, 1);
  }
  const int64_t a_row = a_rows == 1 ? 0 : a_cols, b_row = b_rows == 1 ? 0 : b_cols;
  for (int64_t i = 0; i < rows; ++i, a += a_row, b += b_row, y += cols) {
    if (a_cols == 1 && b_cols == 1)
      std::fill_n(y, cols, f(a[0], b[0]));
    else if (a_cols == b_cols)
      for (int64_t j = 0; j < cols; ++j) y[j] = f(a[j], b[j]);
    else if (a_cols == 1)
      for (int64_t j = 0; j < cols; ++j) y[j] = f(a[0], b[j]);
    else
      for (int64_t j = 0; j < cols; ++j) y[j] = f(a[j], b[0]);
  }
}

// Whether a full exponent, that of infinities and NaN, is among x: it carries over into the sign's place, a loop the
// compiler vectorises.
bool not_finite(int64_t n, const float* x) {
  uint32_t carried = 0;
  for (int64_t i = 0; i < n; ++i) carried |= (std::bit_cast<uint32_t>(x[i]) & 0x7f800000u) + 0x00800000u;
  return carried >> 31;
}

}  // namespace

template <class T>
void fill_value(int64_t n, T value, T* y) {
  std::fill_n(y, n, value);
}

template <class T>
void binary(Binary op, int64_t rows, int64_t cols, const T* a, int64_t a_rows, int64_t a_cols, const T* b,
            int64_t b_rows, int64_t b_cols, T* y) {
  const auto all = [&](auto f) { broadcast(rows, cols, a, a_rows, a_cols, b, b_rows, b_cols, y, f); };
  switch (op) {
    case Binary::add: return all([](T u, T v) { return u + v; });
    case Binary::subtract: return all([](T u, T v) { return u - v; });
    case Binary::multiply: return all([](T u, T v) { return u * v; });
    case Binary::divide: return all([](T u, T v) { return u / v; });
    case Binary::minimum: return all([](T u, T v) { return u < v ? u : v; });
    case Binary::maximum: return all([](T u, T v) { return v < u ? u : v; });
    case Binary::less: return all([](T u, T v) { return T(u < v); });
    case Binary::left: return all([](T u, T) { return u; });
    case Binary::where: return all([](T u, T v) { return u != 0 ? v : T(0); });
    case Binary::where_not: return all([](T u, T v) { return u != 0 ? T(0) : v; });
  }
}

template <class T>
void affine(int64_t n, T scale, T offset, const T* x, T* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = scale * x[i] + offset;
}

template <class T>
void add_scaled(int64_t n, const T* x, T scale, const T* d, T* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] + scale * d[i];
}

template <class T>
void interpolate(int64_t rows, int64_t cols, const T* t, const T* a, const T* b, T* y) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = i * cols; j < (i + 1) * cols; ++j) y[j] = (1 - t[i]) * a[j] + t[i] * b[j];
}

template <class T>
void square_root(int64_t n, const T* x, T* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = std::sqrt(x[i]);
}

template <class T>
void relu(int64_t n, const T* x, T* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] > 0 ? x[i] : T(0);
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
void copy_matrix(int64_t rows, int64_t cols, const T* x, int64_t x_stride, int64_t group, T* y, int64_t y_stride) {
  for (int64_t i = 0; i < rows; x += x_stride)
    for (int64_t k = 0; k < group && i < rows; ++k, ++i, y += y_stride) copy_row(x, cols, y);
}

template <class T>
void concat_columns(int64_t rows, std::span<const ColumnsArguments<T>> parts, T* y) {
  int64_t cols = 0;
  for (const ColumnsArguments<T>& p : parts) cols += p.cols;
  for (const ColumnsArguments<T>& p : parts) copy_matrix(rows, p.cols, p.x, p.cols, p.group, y, cols), y += p.cols;
}

template <class T>
void add_to(int64_t n, const T* x, T* y) {
  for (int64_t i = 0; i < n; ++i) y[i] += x[i];
}

template <class T>
void sum_groups(int64_t rows, int64_t cols, int64_t group, const T* x, T* y) {
  std::fill_n(y, rows * cols, T(0));
  for (int64_t i = 0; i < rows; ++i, y += cols)
    for (int64_t k = 0; k < group; ++k, x += cols)
      for (int64_t j = 0; j < cols; ++j) y[j] += x[j];
}

template <class T>
void argmax_row(int64_t rows, int64_t cols, int64_t row_step, const T* x, int32_t* index) {
  for (int64_t i = 0; i < rows; ++i, x += cols)
    index[i] = static_cast<int32_t>(std::max_element(x, x + cols) - x + i * row_step);
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

void flag_not_finite(std::span<const FiniteArguments> all, uint32_t* flag) {
  for (const FiniteArguments& f : all)
    if (*flag == 0 && not_finite(f.n, f.x)) *flag = f.number;
}

void gather_numbers(std::span<const NumberArguments> all, float* y) {
  for (const NumberArguments& n : all) y[n.to] = *n.from;
}

template void fill_value(int64_t, float, float*);
template void binary(Binary, int64_t, int64_t, const float*, int64_t, int64_t, const float*, int64_t, int64_t, float*);
template void affine(int64_t, float, float, const float*, float*);
template void add_scaled(int64_t, const float*, float, const float*, float*);
template void interpolate(int64_t, int64_t, const float*, const float*, const float*, float*);
template void square_root(int64_t, const float*, float*);
template void relu(int64_t, const float*, float*);
template void clip(int64_t, float, float, const float*, float*);
template void inside(int64_t, float, float, const float*, float*);
template void copy_matrix(int64_t, int64_t, const float*, int64_t, int64_t, float*, int64_t);
template void concat_columns(int64_t, std::span<const ColumnsArguments<float>>, float*);
template void add_to(int64_t, const float*, float*);
template void sum_groups(int64_t, int64_t, int64_t, const float*, float*);
template void argmax_row(int64_t, int64_t, int64_t, const float*, int32_t*);
template void one_hot(int64_t, int64_t, const int32_t*, float*);
template void gather_row(int64_t, int64_t, const float*, const int32_t*, float*);
template void gather_rows(int64_t, int64_t, const float*, const int32_t*, float*);

template void fill_value(int64_t, double, double*);
template void binary(Binary, int64_t, int64_t, const double*, int64_t, int64_t, const double*, int64_t, int64_t, double*);
template void affine(int64_t, double, double, const double*, double*);
template void add_scaled(int64_t, const double*, double, const double*, double*);
template void interpolate(int64_t, int64_t, const double*, const double*, const double*, double*);
template void square_root(int64_t, const double*, double*);
template void relu(int64_t, const double*, double*);
template void clip(int64_t, double, double, const double*, double*);
template void inside(int64_t, double, double, const double*, double*);
template void copy_matrix(int64_t, int64_t, const double*, int64_t, int64_t, double*, int64_t);
template void concat_columns(int64_t, std::span<const ColumnsArguments<double>>, double*);
template void add_to(int64_t, const double*, double*);
template void sum_groups(int64_t, int64_t, int64_t, const double*, double*);
template void argmax_row(int64_t, int64_t, int64_t, const double*, int32_t*);
template void one_hot(int64_t, int64_t, const int32_t*, double*);
template void gather_row(int64_t, int64_t, const double*, const int32_t*, double*);
template void gather_rows(int64_t, int64_t, const double*, const int32_t*, double*);

}  // namespace meander::kernels
