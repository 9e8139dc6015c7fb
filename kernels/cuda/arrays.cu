#include <meander/kernels/cuda/elements.h>

// Arithmetic with broadcasting and movement of matrices: kernels/arrays.h.
namespace meander::kernels::MEANDER_CUDA {
namespace {

unsigned element_blocks(int64_t n) { return blocks_for(n, element_block); }

// ---- element by element ----------------------------------------------------------------------------------------------

__global__ void fill_kernel(int64_t n, float value, float* y) {
  const int64_t fours = aligned(y) ? n / 4 : 0;
  for_elements(fours, [&](int64_t q) { store4(y, q, make_float4(value, value, value, value)); });
  for_elements(n - 4 * fours, [&](int64_t i) { y[4 * fours + i] = value; });
}

struct Affine {
  float scale, offset;
  __device__ float operator()(float x) const { return scale * x + offset; }
};
struct SquareRoot {
  __device__ float operator()(float x) const { return sqrtf(x); }
};
struct Relu {
  __device__ float operator()(float x) const { return x > 0 ? x : 0.0f; }
};
struct Clip {
  float low, high;
  __device__ float operator()(float x) const { return x < low ? low : x > high ? high : x; }
};
struct Inside {
  float low, high;
  __device__ float operator()(float x) const { return low <= x && x <= high ? 1.0f : 0.0f; }
};
struct AddScaled {
  float scale;
  __device__ float operator()(float x, float d) const { return x + scale * d; }
};
__global__ void interpolate_kernel(int64_t rows, int64_t cols, const float* t, const float* a, const float* b,
                                   float* y) {
  for_matrix(rows, cols, [&](int64_t i, int64_t j) {
    const int64_t e = i * cols + j;
    y[e] = (1.0f - t[i]) * a[e] + t[i] * b[e];
  });
}

// ---- two operands with broadcasting ----------------------------------------------------------------------------------

template <Binary op>
struct Apply {
  __device__ float operator()(float a, float b) const {
    if constexpr (op == Binary::add) return a + b;
    else if constexpr (op == Binary::subtract) return a - b;
    else if constexpr (op == Binary::multiply) return a * b;
    else if constexpr (op == Binary::divide) return a / b;
    else if constexpr (op == Binary::minimum) return a < b ? a : b;
    else if constexpr (op == Binary::maximum) return b < a ? a : b;
    else if constexpr (op == Binary::less) return a < b ? 1.0f : 0.0f;
    else if constexpr (op == Binary::left) return a;
    else if constexpr (op == Binary::where) return a != 0 ? b : 0.0f;
    else return a != 0 ? 0.0f : b;
  }
};

// An operand and the steps that lead from row to row and from column to column, 0 where it is repeated.
struct Broadcast {
  const float* p;
  int64_t row_step, col_step;
};
template <class F>
__global__ void broadcast_kernel(int64_t rows, int64_t cols, Broadcast a, Broadcast b, float* y, F f) {
  for_matrix(rows, cols, [&](int64_t i, int64_t j) {
    y[i * cols + j] = f(a.p[i * a.row_step + j * a.col_step], b.p[i * b.row_step + j * b.col_step]);
  });
}

template <Binary op>
void apply(int64_t rows, int64_t cols, const float* a, int64_t a_rows, int64_t a_cols, const float* b, int64_t b_rows,
           int64_t b_cols, float* y) {
  const int64_t n = rows * cols, a_size = a_rows * a_cols, b_size = b_rows * b_cols;
  const Apply<op> f;
  if (n <= 0) return;
  if (a_size == n && b_size == n) return map(n, f, y, Each{a}, Each{b});
  if (a_size == n && b_size == 1) return map(n, f, y, Each{a}, Same{b});
  if (a_size == 1 && b_size == n) return map(n, f, y, Same{a}, Each{b});
  const Broadcast left{a, a_rows == 1 ? 0 : a_cols, a_cols == 1 ? 0 : 1};
  const Broadcast right{b, b_rows == 1 ? 0 : b_cols, b_cols == 1 ? 0 : 1};
  launch(broadcast_kernel<Apply<op>>, element_blocks(n), element_block, 0, rows, cols, left, right, y, f);
}

// ---- rows ------------------------------------------------------------------------------------------------------------

__global__ void copy_kernel(int64_t rows, int64_t cols, const float* x, int64_t x_stride, int64_t group, float* y,
                            int64_t y_stride) {
  for_matrix(rows, cols, [&](int64_t i, int64_t j) { y[i * y_stride + j] = x[divide(i, group) * x_stride + j]; });
}
struct Identity {
  __device__ float operator()(float x) const { return x; }
};

__global__ void concat_kernel(int64_t rows, int64_t cols,
                              const __grid_constant__ List<ColumnsArguments<float>, 3> parts, float* y) {
  for_matrix(rows, cols, [&](int64_t i, int64_t j) {
    int64_t column = j;
    int p = 0;
    while (column >= parts.at[p].cols) column -= parts.at[p++].cols;
    const ColumnsArguments<float>& part = parts.at[p];
    y[i * cols + j] = part.x[divide(i, part.group) * part.cols + column];
  });
}

__global__ void sum_groups_kernel(int64_t rows, int64_t cols, int64_t group, const float* x, float* y) {
  for_matrix(rows, cols, [&](int64_t i, int64_t j) {
    const float* p = x + i * group * cols + j;
    float sum = 0;
    for (int64_t k = 0; k < group; ++k) sum += p[k * cols];
    y[i * cols + j] = sum;
  });
}

// 16 threads a row, each with the first largest of its columns, then the better of two: the larger, or the one to the
// left. A NaN is never larger; but from a NaN in the first column nothing is, as for std::max_element.
constexpr int argmax_block = 64;
__global__ void argmax_kernel(int64_t rows, int64_t cols, int64_t row_step, const float* x, int32_t* index) {
  const int lane = static_cast<int>(threadIdx.x % 16);
  const int64_t step = all_threads() / 16;
  for (int64_t first = this_thread() / 32 * 2; first < rows; first += step) {   // the two rows of a warp together
    const int64_t i = first + threadIdx.x % 32 / 16;
    const float* row = x + i * cols;
    float best = -INFINITY;
    int64_t at = lane;
    if (i < rows)
      for (int64_t j = lane; j < cols; j += 16)
        if (row[j] > best) best = row[j], at = j;
    for (int half = 8; half >= 1; half /= 2) {
      const float other = __shfl_xor_sync(0xffffffffu, best, half, 16);
      const int64_t other_at = __shfl_xor_sync(0xffffffffu, at, half, 16);
      if (other > best || (other == best && other_at < at)) best = other, at = other_at;
    }
    if (i < rows && lane == 0) index[i] = static_cast<int32_t>((row[0] != row[0] ? 0 : at) + i * row_step);
  }
}

__global__ void one_hot_kernel(int64_t rows, int64_t cols, const int32_t* column, float* y) {
  for_matrix(rows, cols, [&](int64_t i, int64_t j) { y[i * cols + j] = j == column[i] ? 1.0f : 0.0f; });
}

__global__ void gather_row_kernel(int64_t rows, int64_t cols, const float* x, const int32_t* column, float* y) {
  for_elements(rows, [&](int64_t i) { y[i] = x[i * cols + column[i]]; });
}

__global__ void gather_rows_kernel(int64_t rows, int64_t cols, const float* x, const int32_t* row, float* y) {
  for_matrix(rows, cols, [&](int64_t i, int64_t j) { y[i * cols + j] = x[row[i] * cols + j]; });
}

// ---- the flag --------------------------------------------------------------------------------------------------------

constexpr int most_checked = 8, most_numbers = 32;

__global__ void flag_kernel(const __grid_constant__ List<FiniteArguments, most_checked> list, uint32_t* flag) {
  const FiniteArguments& array = list.at[blockIdx.y];
  const float* const x = array.x;
  const int64_t fours = aligned(x) ? array.n / 4 : 0;
  bool found = false;
  const auto look = [&](float v) { found = found || !(v - v == 0); };
  for_elements(fours, [&](int64_t q) {
    const float4 v = load4(x, q);
    look(v.x), look(v.y), look(v.z), look(v.w);
  });
  for_elements(array.n - 4 * fours, [&](int64_t i) { look(x[4 * fours + i]); });
  if (!found) return;
  for (uint32_t old = 0; old == 0 || old > array.number;) {   // smaller numbers stay
    const uint32_t there = atomicCAS(flag, old, array.number);
    if (there == old) break;
    old = there;
  }
}

__global__ void numbers_kernel(const __grid_constant__ List<NumberArguments, most_numbers> list, float* y) {
  const NumberArguments& number = list.at[threadIdx.x];
  y[number.to] = *number.from;
}

}  // namespace

void fill_value(int64_t n, float value, float* y) {
  if (n > 0) launch(fill_kernel, element_blocks((n + 3) / 4), element_block, 0, n, value, y);
}

void affine(int64_t n, float scale, float offset, const float* x, float* y) {
  map(n, Affine{scale, offset}, y, Each{x});
}

void add_scaled(int64_t n, const float* x, float scale, const float* d, float* y) {
  map(n, AddScaled{scale}, y, Each{x}, Each{d});
}

void interpolate(int64_t rows, int64_t cols, const float* t, const float* a, const float* b, float* y) {
  if (rows * cols > 0)
    launch(interpolate_kernel, element_blocks(rows * cols), element_block, 0, rows, cols, t, a, b, y);
}

void square_root(int64_t n, const float* x, float* y) { map(n, SquareRoot{}, y, Each{x}); }
void relu(int64_t n, const float* x, float* y) { map(n, Relu{}, y, Each{x}); }
void clip(int64_t n, float low, float high, const float* x, float* y) { map(n, Clip{low, high}, y, Each{x}); }
void inside(int64_t n, float low, float high, const float* x, float* y) { map(n, Inside{low, high}, y, Each{x}); }
void add_to(int64_t n, const float* x, float* y) { map(n, Apply<Binary::add>{}, y, Each{y}, Each{x}); }

void binary(Binary op, int64_t rows, int64_t cols, const float* a, int64_t a_rows, int64_t a_cols, const float* b,
            int64_t b_rows, int64_t b_cols, float* y) {
  switch (op) {
    case Binary::add: return apply<Binary::add>(rows, cols, a, a_rows, a_cols, b, b_rows, b_cols, y);
    case Binary::subtract: return apply<Binary::subtract>(rows, cols, a, a_rows, a_cols, b, b_rows, b_cols, y);
    case Binary::multiply: return apply<Binary::multiply>(rows, cols, a, a_rows, a_cols, b, b_rows, b_cols, y);
    case Binary::divide: return apply<Binary::divide>(rows, cols, a, a_rows, a_cols, b, b_rows, b_cols, y);
    case Binary::minimum: return apply<Binary::minimum>(rows, cols, a, a_rows, a_cols, b, b_rows, b_cols, y);
    case Binary::maximum: return apply<Binary::maximum>(rows, cols, a, a_rows, a_cols, b, b_rows, b_cols, y);
    case Binary::less: return apply<Binary::less>(rows, cols, a, a_rows, a_cols, b, b_rows, b_cols, y);
    case Binary::left: return apply<Binary::left>(rows, cols, a, a_rows, a_cols, b, b_rows, b_cols, y);
    case Binary::where: return apply<Binary::where>(rows, cols, a, a_rows, a_cols, b, b_rows, b_cols, y);
    case Binary::where_not: return apply<Binary::where_not>(rows, cols, a, a_rows, a_cols, b, b_rows, b_cols, y);
  }
}

void copy_matrix(int64_t rows, int64_t cols, const float* x, int64_t x_stride, int64_t group, float* y,
                 int64_t y_stride) {
  if (rows * cols <= 0) return;
  if (group == 1 && x_stride == cols && y_stride == cols) return map(rows * cols, Identity{}, y, Each{x});
  launch(copy_kernel, element_blocks(rows * cols), element_block, 0, rows, cols, x, x_stride, group, y, y_stride);
}

void concat_columns(int64_t rows, std::span<const ColumnsArguments<float>> parts, float* y) {
  List<ColumnsArguments<float>, 3> list{};
  int64_t cols = 0;
  for (size_t p = 0; p < parts.size(); ++p) list.at[p] = parts[p], cols += parts[p].cols;
  const int64_t n = rows * cols;
  if (n > 0) launch(concat_kernel, element_blocks(n), element_block, 0, rows, cols, list, y);
}

void sum_groups(int64_t rows, int64_t cols, int64_t group, const float* x, float* y) {
  if (rows * cols > 0)
    launch(sum_groups_kernel, element_blocks(rows * cols), element_block, 0, rows, cols, group, x, y);
}

void argmax_row(int64_t rows, int64_t cols, int64_t row_step, const float* x, int32_t* index) {
  if (rows > 0)
    launch(argmax_kernel, blocks_for(rows * 16, argmax_block), argmax_block, 0, rows, cols, row_step, x, index);
}

void one_hot(int64_t rows, int64_t cols, const int32_t* column, float* y) {
  if (rows * cols > 0) launch(one_hot_kernel, element_blocks(rows * cols), element_block, 0, rows, cols, column, y);
}

void gather_row(int64_t rows, int64_t cols, const float* x, const int32_t* column, float* y) {
  if (rows > 0) launch(gather_row_kernel, element_blocks(rows), element_block, 0, rows, cols, x, column, y);
}

void gather_rows(int64_t rows, int64_t cols, const float* x, const int32_t* row, float* y) {
  if (rows * cols > 0) launch(gather_rows_kernel, element_blocks(rows * cols), element_block, 0, rows, cols, x, row, y);
}

void flag_not_finite(std::span<const FiniteArguments> all, uint32_t* flag) {
  in_lists<most_checked>(all, [&](const auto& list, unsigned count) {
    launch(flag_kernel, dim3(blocks_for_all(all, 4, element_block), count), element_block, 0, list, flag);
  });
}

void gather_numbers(std::span<const NumberArguments> all, float* y) {
  in_lists<most_numbers>(all, [&](const auto& list, unsigned count) { launch(numbers_kernel, 1, count, 0, list, y); });
}

}  // namespace meander::kernels::MEANDER_CUDA
