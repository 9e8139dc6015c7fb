#pragma once

#include <cstdint>
#include <span>

// Arithmetic with broadcasting and movement of matrices, row-major without gaps unless a stride is given; for float and
// double.
namespace meander::kernels {

// Copies one row on the CPU: of the few numbers that most have a loop takes less time than a call of memmove.
template <class T>
void copy_row(const T* from, int64_t n, T* to) {
  for (int64_t j = 0; j < n; ++j) to[j] = from[j];
}

template <class T>
void fill_value(int64_t n, T value, T* y);

enum class Binary { add, subtract, multiply, divide, minimum, maximum, less, left, where, where_not };
// y [rows, cols] = a op b, both with all or 1 of the rows and all or 1 of the cols. minimum: a < b ? a : b,
// maximum: b < a ? a : b. less: a < b as 1 or 0. left: a.
// where: b where a != 0, else 0. where_not: b where a == 0, else 0.
template <class T>
void binary(Binary op, int64_t rows, int64_t cols, const T* a, int64_t a_rows, int64_t a_cols, const T* b,
            int64_t b_rows, int64_t b_cols, T* y);
template <class T>
void affine(int64_t n, T scale, T offset, const T* x, T* y);   // y = scale x + offset, rounded twice
template <class T>
void add_scaled(int64_t n, const T* x, T scale, const T* d, T* y);   // y = x + scale d, rounded twice
// y [rows, cols] = (1 - t) a + t b, t [rows]
template <class T>
void interpolate(int64_t rows, int64_t cols, const T* t, const T* a, const T* b, T* y);
template <class T>
void square_root(int64_t n, const T* x, T* y);
template <class T>
void relu(int64_t n, const T* x, T* y);                         // max(x, 0); a NaN becomes 0
template <class T>
void clip(int64_t n, T low, T high, const T* x, T* y);          // NaN stays
template <class T>
void inside(int64_t n, T low, T high, const T* x, T* y);        // 1 where low <= x <= high, else 0

// y[i y_stride + j] = x[i / group x_stride + j] for i < rows, j < cols: parts of rows moved, rows repeated.
template <class T>
void copy_matrix(int64_t rows, int64_t cols, const T* x, int64_t x_stride, int64_t group, T* y,
                 int64_t y_stride);
// y[i] = [x_1[i / group_1], x_2[i / group_2], ...], at most 3 parts, x_p [rows / group_p, cols_p]
template <class T>
struct ColumnsArguments {
  int64_t cols;
  const T* x;
  int64_t group;
};
template <class T>
void concat_columns(int64_t rows, std::span<const ColumnsArguments<T>> parts, T* y);
template <class T>
void add_to(int64_t n, const T* x, T* y);                                // y += x
// y [rows, cols] = sum over k < group of x[i group + k], in order.
template <class T>
void sum_groups(int64_t rows, int64_t cols, int64_t group, const T* x, T* y);

// index[i] = the column of row i's largest number, the first on a tie, plus i row_step: with row_step = cols the place
// in the whole matrix.
template <class T>
void argmax_row(int64_t rows, int64_t cols, int64_t row_step, const T* x, int32_t* index);
template <class T>
void one_hot(int64_t rows, int64_t cols, const int32_t* column, T* y);       // y[i, column[i]] = 1, else 0
template <class T>
void gather_row(int64_t rows, int64_t cols, const T* x, const int32_t* column, T* y);  // y[i] = x[i, column[i]]
template <class T>
void gather_rows(int64_t rows, int64_t cols, const T* x, const int32_t* row, T* y);    // y[i] = x[row[i]]

// Sets *flag, if it is 0, to the number of an array with an element that is not finite: of several such to the
// smallest, if the arrays come in the order of their numbers.
struct FiniteArguments {
  int64_t n;
  const float* x;
  uint32_t number;
};
void flag_not_finite(std::span<const FiniteArguments>, uint32_t* flag);

// y[to] = *from: numbers that lie here and there, in one array.
struct NumberArguments {
  const float* from;
  int64_t to;
};
void gather_numbers(std::span<const NumberArguments>, float* y);

}  // namespace meander::kernels
