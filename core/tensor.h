#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <meander/core/dtype.h>

namespace meander {

// A row-major matrix without gaps, [rows, cols]; a view, it owns nothing. A vector over features is [1, n], one number a
// row [n, 1], a scalar [1, 1]. Memory comes from the arena (core/arena.h) or belongs to someone else (Buffer, a file).
struct Tensor {
  void* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  DType dtype = DType::float32;

  int64_t size() const { return rows * cols; }
  explicit operator bool() const { return data != nullptr; }

  template <class T>
  T* as() const {
    assert(dtype == dtype_of<T>);
    return static_cast<T*>(data);
  }
  float* f32() const { return as<float>(); }

  // Rows first .. first + count as a view.
  Tensor slice_rows(int64_t first, int64_t count) const {
    assert(first >= 0 && first + count <= rows);
    return {static_cast<std::byte*>(data) + first * cols * bytes(dtype), count, cols, dtype};
  }
  // The same numbers under another shape with as many elements.
  Tensor reshape(int64_t new_rows, int64_t new_cols) const {
    assert(new_rows * new_cols == size());
    return {data, new_rows, new_cols, dtype};
  }
};
static_assert(std::is_trivially_copyable_v<Tensor> && std::is_trivially_destructible_v<Tensor>);

template <class T>
Tensor view(T* data, int64_t rows, int64_t cols) {
  return {const_cast<std::remove_const_t<T>*>(data), rows, cols, dtype_of<std::remove_const_t<T>>};
}

}  // namespace meander
