#include <meander/kernels/arrays.h>

#include <limits>

#include "helpers.h"

using namespace meander::kernels;

namespace {

template <class T>
using Numbers = std::vector<T>;

template <class T>
Numbers<T> combined(Binary op, int64_t rows, int64_t cols, const Numbers<T>& a, int64_t a_rows, const Numbers<T>& b,
                    int64_t b_rows) {
  Numbers<T> y(static_cast<size_t>(rows * cols), T(-77));
  binary(op, rows, cols, a.data(), a_rows, std::ssize(a) / a_rows, b.data(), b_rows, std::ssize(b) / b_rows, y.data());
  return y;
}

}  // namespace

// Protects the meaning of each operation, a NaN that must stay one and a NaN that must not matter.
TEST_CASE_TEMPLATE("binary operations", T, float, double) {
  const T infinity = std::numeric_limits<T>::infinity();
  const Numbers<T> a{1, -2, 0, 4}, b{2, 3, 5, -1};
  const auto apply = [&](Binary op) { return combined<T>(op, 2, 2, a, 2, b, 2); };
  CHECK(apply(Binary::add) == Numbers<T>{3, 1, 5, 3});
  CHECK(apply(Binary::subtract) == Numbers<T>{-1, -5, -5, 5});
  CHECK(apply(Binary::minimum) == Numbers<T>{1, -2, 0, -1});
  CHECK(apply(Binary::maximum) == Numbers<T>{2, 3, 5, 4});
  CHECK(apply(Binary::multiply) == Numbers<T>{2, -6, 0, -4});
  CHECK(apply(Binary::divide) == Numbers<T>{T(0.5), T(-2) / T(3), 0, -4});
  CHECK(apply(Binary::less) == Numbers<T>{1, 1, 1, 0});
  CHECK(apply(Binary::left) == a);
  CHECK(apply(Binary::where) == Numbers<T>{2, 3, 0, -1});
  CHECK(apply(Binary::where_not) == Numbers<T>{0, 0, 5, 0});
  const T nan = std::numeric_limits<T>::quiet_NaN();
  CHECK(combined<T>(Binary::where, 1, 2, {0, 1}, 1, {nan, infinity}, 1) == Numbers<T>{0, infinity});
  CHECK(combined<T>(Binary::where_not, 1, 2, {0, 1}, 1, {infinity, nan}, 1) == Numbers<T>{infinity, 0});
  CHECK(combined<T>(Binary::less, 1, 2, {nan, 1}, 1, {1, nan}, 1) == Numbers<T>{0, 0});
}

// Protects every pair of shapes that broadcasting allows, those included whose result is larger than both operands.
TEST_CASE_TEMPLATE("broadcasting repeats rows and columns", T, float, double) {
  for (const int64_t rows : {1, 3})
    for (const int64_t cols : {1, 2, 19})
      for (int repeated = 0; repeated < 16; ++repeated) {
        const int64_t a_rows = repeated & 1 ? 1 : rows, a_cols = repeated & 2 ? 1 : cols;
        const int64_t b_rows = repeated & 4 ? 1 : rows, b_cols = repeated & 8 ? 1 : cols;
        Numbers<T> a, b, want;
        for (int64_t i = 0; i < a_rows * a_cols; ++i) a.push_back(static_cast<T>(i + 1));
        for (int64_t i = 0; i < b_rows * b_cols; ++i) b.push_back(static_cast<T>(1000 * (i + 1)));
        for (int64_t i = 0; i < rows; ++i)
          for (int64_t j = 0; j < cols; ++j)
            want.push_back(a[static_cast<size_t>((a_rows == 1 ? 0 : i) * a_cols + (a_cols == 1 ? 0 : j))] +
                           b[static_cast<size_t>((b_rows == 1 ? 0 : i) * b_cols + (b_cols == 1 ? 0 : j))]);
        CAPTURE(rows);
        CAPTURE(cols);
        CAPTURE(repeated);
        CHECK(combined<T>(Binary::add, rows, cols, a, a_rows, b, b_rows) == want);
      }
}

TEST_CASE_TEMPLATE("functions of one number", T, float, double) {
  const T nan = std::numeric_limits<T>::quiet_NaN();
  const Numbers<T> x{-2, -1, 0, 1, T(2.25)};
  Numbers<T> y(5);
  affine<T>(5, 2, -1, x.data(), y.data());
  CHECK(y == Numbers<T>{-5, -3, -1, 1, T(3.5)});
  clip<T>(5, -1, 1, x.data(), y.data());
  CHECK(y == Numbers<T>{-1, -1, 0, 1, 1});
  inside<T>(5, -1, 1, x.data(), y.data());
  CHECK(y == Numbers<T>{0, 1, 1, 1, 0});
  square_root<T>(2, x.data() + 3, y.data());
  CHECK(y == Numbers<T>{1, 1.5, 1, 1, 0});
  add_to<T>(5, x.data(), y.data());
  CHECK(y == Numbers<T>{-1, 0.5, 1, 2, 2.25});
  fill_value<T>(3, 7, y.data() + 1);
  CHECK(y == Numbers<T>{-1, 7, 7, 7, 2.25});
  clip<T>(1, -1, 1, &nan, y.data());
  CHECK(std::isnan(y[0]));
  inside<T>(1, -1, 1, &nan, y.data());
  CHECK(y[0] == 0);
}

// Protects the two roundings of scale x + offset, which a fused multiply-add would make one.
TEST_CASE("affine rounds twice") {
  const float x = 1 + 0x1p-12f;
  float y;
  affine<float>(1, x, -1, &x, &y);
  CHECK(y == 0x1p-11f);   // without the 2^-24 of the exact square
}

TEST_CASE_TEMPLATE("parts of rows moved, rows repeated, groups summed", T, float, double) {
  const Numbers<T> x{1, 2, 3, 4, 5, 6};   // [2, 3]
  Numbers<T> y(8, 9);
  copy_matrix<T>(2, 2, x.data() + 1, 3, 1, y.data() + 1, 4);   // its last columns into the middle of [2, 4]
  CHECK(y == Numbers<T>{9, 2, 3, 9, 9, 5, 6, 9});
  y.assign(12, 9);
  copy_matrix<T>(4, 3, x.data(), 3, 2, y.data(), 3);
  CHECK(y == Numbers<T>{1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6});
  y.assign(7, 9);
  copy_matrix<T>(2, 3, x.data(), 3, 1, y.data(), 3);
  CHECK(y == Numbers<T>{1, 2, 3, 4, 5, 6, 9});
  y.assign(6, 9);
  copy_matrix<T>(3, 2, x.data(), 0, 1, y.data(), 2);   // one row for all
  CHECK(y == Numbers<T>{1, 2, 1, 2, 1, 2});
  y.assign(9, 9);
  copy_matrix<T>(3, 3, x.data(), 3, 2, y.data(), 3);   // the last group is cut
  CHECK(y == Numbers<T>{1, 2, 3, 1, 2, 3, 4, 5, 6});
  y.assign(3, 9);
  sum_groups<T>(1, 3, 2, x.data(), y.data());
  CHECK(y == Numbers<T>{5, 7, 9});
  y.assign(2, 9);
  sum_groups<T>(2, 1, 3, x.data(), y.data());
  CHECK(y == Numbers<T>{6, 15});
}

TEST_CASE_TEMPLATE("places and what is picked by them", T, float, double) {
  const T infinity = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  const Numbers<T> x{1, 3, 3, /**/ -1, -2, -3, /**/ -infinity, -infinity, -infinity, /**/ 0, nan, 2};
  std::vector<int32_t> index(4);
  argmax_row<T>(4, 3, 0, x.data(), index.data());
  CHECK(index == std::vector<int32_t>{1, 0, 0, 2});
  argmax_row<T>(4, 3, 3, x.data(), index.data());
  CHECK(index == std::vector<int32_t>{1, 3, 6, 11});

  const std::vector<int32_t> column{1, 0, 2, 2}, row{3, 0, 0};
  Numbers<T> y(4);
  gather_row<T>(4, 3, x.data(), column.data(), y.data());
  CHECK(y == Numbers<T>{3, -1, -infinity, 2});
  y.assign(6, 9);
  one_hot<T>(2, 3, column.data(), y.data());
  CHECK(y == Numbers<T>{0, 1, 0, 1, 0, 0});
  const Numbers<T> pairs{1, 2, 3, 4, 5, 6, 7, 8};
  gather_rows<T>(3, 2, pairs.data(), row.data(), y.data());
  CHECK(y == Numbers<T>{7, 8, 1, 2, 1, 2});
}

// Protects the training that must stop: one number among many, at any place, and no false alarm.
TEST_CASE("a number that is not finite raises the flag") {
  constexpr float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  for (const size_t at : {0, 1, 40, 98})
    for (const float bad : {nan, infinity, -infinity, std::numeric_limits<float>::max()}) {
      Numbers<float> x(99, -1.0f);
      x[at] = bad;
      const FiniteArguments all[] = {{static_cast<int64_t>(at), x.data(), 1}, {99, x.data(), 2}, {99, x.data(), 3}};
      uint32_t flag = 0;
      flag_not_finite(all, &flag);
      CHECK(flag == (std::isfinite(bad) ? 0u : 2u));
      flag = 1;   // left alone
      flag_not_finite(all, &flag);
      CHECK(flag == 1u);
    }
}
