#include <cmath>
#include <vector>

#include <meander/kernels/activation_reference.h>
#include <meander/kernels/mlp.h>

namespace meander::kernels {
namespace {

// LayerNorm of a row and its tangent, in place.
template <class T>
void norm(int64_t cols, T eps, const T* scale, const T* shift, T* a, T* da) {
  T mean = 0, variance = 0, mean_d = 0, mean_nd = 0;
  for (int64_t j = 0; j < cols; ++j) mean += a[j] / static_cast<T>(cols);
  for (int64_t j = 0; j < cols; ++j) variance += (a[j] - mean) * (a[j] - mean) / static_cast<T>(cols);
  const T rstd = 1 / std::sqrt(variance + eps);
  for (int64_t j = 0; j < cols; ++j) {
    a[j] = (a[j] - mean) * rstd;
    mean_d += da[j] / static_cast<T>(cols);
    mean_nd += a[j] * da[j] / static_cast<T>(cols);
  }
  for (int64_t j = 0; j < cols; ++j) {
    da[j] = scale[j] * rstd * (da[j] - mean_d - a[j] * mean_nd);
    a[j] = scale[j] * a[j] + shift[j];
  }
}

}  // namespace

template <class T>
void mlp_reference(const MlpShape& shape, const T* params, int64_t rows, const T* x, const T* dx, T* y, T* dy) {
  for (int64_t i = 0; i < rows; ++i) {
    std::vector<T> a(x + i * shape.width[0], x + (i + 1) * shape.width[0]), da(a.size());
    if (dx) da.assign(dx + i * shape.width[0], dx + (i + 1) * shape.width[0]);
    for (int l = 0; l < shape.layers; ++l) {
      const int64_t in = shape.width[l], out = shape.width[l + 1];
      std::vector<T> z(static_cast<size_t>(out)), dz(z.size());
      for (int64_t j = 0; j < out; ++j) {
        T sum = params[shape.bias[l] + j], dsum = 0;
        for (int64_t k = 0; k < in; ++k) {
          const T weight = params[shape.weight[l] + k * out + j];
          sum += a[static_cast<size_t>(k)] * weight;
          dsum += da[static_cast<size_t>(k)] * weight;
        }
        z[static_cast<size_t>(j)] = sum;
        dz[static_cast<size_t>(j)] = dsum;
      }
      a = z, da = dz;
      if (l + 1 == shape.layers) break;
      const T eps = static_cast<T>(shape.norm_eps);
      const T* const scale = params + shape.scale[l];
      const T* const shift = params + shape.shift[l];
      if (shape.norm == Norm::before_activation) norm(out, eps, scale, shift, a.data(), da.data());
      for (size_t j = 0; j < a.size(); ++j) {
        const auto [value, slope] = activation_reference(shape.activation, a[j]);
        a[j] = value;
        da[j] *= slope;
      }
      if (shape.norm == Norm::after_activation) norm(out, eps, scale, shift, a.data(), da.data());
    }
    const int64_t out = shape.width[shape.layers];
    for (int64_t j = 0; j < out; ++j) y[i * out + j] = a[static_cast<size_t>(j)];
    if (dx)
      for (int64_t j = 0; j < out; ++j) dy[i * out + j] = da[static_cast<size_t>(j)];
  }
}

template void mlp_reference(const MlpShape&, const float*, int64_t, const float*, const float*, float*, float*);
template void mlp_reference(const MlpShape&, const double*, int64_t, const double*, const double*, double*, double*);

}  // namespace meander::kernels
