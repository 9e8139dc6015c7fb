#include <meander/kernels/dense.h>

#include <meander/kernels/cpu/products.h>
#include <meander/kernels/threads.h>

namespace meander::kernels {

int64_t packed_size(int64_t k, int64_t n) { return k * ((n + 15) / 16 * 16); }

float* aligned(float* p) { return reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(p) + 63) & ~uintptr_t{63}); }

IsaMatrix pack_matrix(const IsaKernels& isa, int64_t rows, int64_t k, int64_t n, const float* b, int64_t stride,
                      bool transposed, float* workspace) {
  const int64_t panels = (n + isa.panel - 1) / isa.panel;
  if (!transposed && rows <= rows_in_place) {
    if (n % isa.panel) isa.pack(k, n, panels - 1, panels, b, stride, false, workspace);
    return {.packed = workspace, .plain = b, .plain_stride = stride};
  }
  parallel_for(panels, 1 + 32768 / (k * isa.panel + 1), [&](int64_t begin, int64_t end) {
    isa.pack(k, n, begin, end, b, stride, transposed, workspace + begin * isa.panel * k);
  });
  return {.packed = workspace};
}

int64_t row_grain(const IsaKernels& isa, int64_t rows, int64_t cost) {
  constexpr int64_t worth_a_thread = 500'000;
  const int64_t useful = rows * cost / worth_a_thread, most = threads();
  if (useful < 2) return rows;
  const int64_t share = (rows + most - 1) / most, whole_tiles = 2 * isa.tile_rows;
  if (share > 16 * whole_tiles) return whole_tiles * (1 + worth_a_thread / (whole_tiles * cost));
  return useful < most ? (rows + useful - 1) / useful : share;
}

namespace {

void product(int64_t m, int64_t n, int64_t k, const float* a, const float* b, int64_t b_stride, bool transposed,
             const float* bias, bool accumulate, float* c, float* workspace) {
  const IsaKernels& isa = active();
  const IsaMatrix matrix = pack_matrix(isa, m, k, n, b, b_stride, transposed, aligned(workspace));
  parallel_for(m, row_grain(isa, m, n * k), [&](int64_t begin, int64_t end) {
    float* const to = c + begin * n;
    const float* const init = accumulate ? to : bias;
    isa.product_rows(end - begin, n, k, a + begin * k, k, matrix, init, accumulate ? n : 0, to, n);
  });
}

}  // namespace

int64_t product_workspace(int64_t, int64_t n, int64_t k) { return packed_size(k, n) + 16; }

void dense(int64_t rows, int64_t in, int64_t out, const float* x, const float* weight, const float* bias, float* y,
           float* workspace) {
  product(rows, out, in, x, weight, out, false, bias, false, y, workspace);
}

void product_nt(int64_t m, int64_t n, int64_t k, const float* a, const float* b, float* c, bool accumulate,
                float* workspace) {
  product(m, n, k, a, b, k, true, nullptr, accumulate, c, workspace);
}

void product_tn(int64_t m, int64_t n, int64_t k, const float* a, const float* b, float* c, bool accumulate,
                float* workspace) {
  if (n == 1 && m > 1) return product_tn(1, m, k, b, a, c, accumulate, workspace);  // a column is a row, and wider
  const IsaKernels& isa = active();
  const int64_t panels = (n + isa.panel - 1) / isa.panel;
  parallel_for(panels, 1 + 500'000 / (m * k * isa.panel + 1), [&](int64_t begin, int64_t end) {
    isa.product_tn(m, n, k, a, b, c, accumulate, begin, end);
  });
}

template <class T>
void dense_reference(int64_t rows, int64_t in, int64_t out, const T* x, const T* weight, const T* bias, T* y) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < out; ++j) {
      T sum = bias ? bias[j] : T{0};
      for (int64_t k = 0; k < in; ++k) sum += x[i * in + k] * weight[k * out + j];
      y[i * out + j] = sum;
    }
}

template <class T>
void product_nt_reference(int64_t m, int64_t n, int64_t k, const T* a, const T* b, T* c, bool accumulate) {
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      T sum = accumulate ? c[i * n + j] : T{0};
      for (int64_t l = 0; l < k; ++l) sum += a[i * k + l] * b[j * k + l];
      c[i * n + j] = sum;
    }
}

template <class T>
void product_tn_reference(int64_t m, int64_t n, int64_t k, const T* a, const T* b, T* c, bool accumulate) {
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      T sum = accumulate ? c[i * n + j] : T{0};
      for (int64_t l = 0; l < k; ++l) sum += a[l * m + i] * b[l * n + j];
      c[i * n + j] = sum;
    }
}

template void dense_reference(int64_t, int64_t, int64_t, const float*, const float*, const float*, float*);
template void dense_reference(int64_t, int64_t, int64_t, const double*, const double*, const double*, double*);
template void product_nt_reference(int64_t, int64_t, int64_t, const float*, const float*, float*, bool);
template void product_nt_reference(int64_t, int64_t, int64_t, const double*, const double*, double*, bool);
template void product_tn_reference(int64_t, int64_t, int64_t, const float*, const float*, float*, bool);
template void product_tn_reference(int64_t, int64_t, int64_t, const double*, const double*, double*, bool);

}  // namespace meander::kernels
