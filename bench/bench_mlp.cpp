// GFLOP/s of the multi-layer perceptron kernels by number of rows, on one thread, beside OpenBLAS sgemm of the same
// products (which leaves bias, norm and activation out). The network is MFPO's actor for HalfCheetah.
//
//   bench_mlp        (OPENBLAS_CORETYPE=SKYLAKEX where OpenBLAS does not know the processor)
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <vector>

#include "kernels/isa.h"
#include "kernels/mlp.h"
#include "kernels/philox.h"
#include "kernels/threads.h"

#ifdef MEANDER_OPENBLAS
#include <cblas.h>
#endif

using namespace meander::kernels;

namespace {

double seconds() {  // of this thread: a busy machine spoils it least
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// Median seconds of one call over 15 samples of at least a millisecond.
template <class F>
double time_of(F&& f) {
  int calls = 1;
  for (double start = seconds(); seconds() - start < 1e-3; ++calls) f();
  std::vector<double> samples;
  for (int i = 0; i < 15; ++i) {
    const double start = seconds();
    for (int c = 0; c < calls; ++c) f();
    samples.push_back((seconds() - start) / calls);
  }
  std::nth_element(samples.begin(), samples.begin() + 7, samples.end());
  return samples[7];
}

std::vector<float> normals(int64_t n, float deviation = 1) {
  std::vector<float> x(static_cast<size_t>(n));
  philox_normal({.seed = 1}, n, x.data());
  for (float& v : x) v *= deviation;
  return x;
}

void products([[maybe_unused]] const MlpShape& s, [[maybe_unused]] int64_t rows, [[maybe_unused]] const float* a,
              [[maybe_unused]] const float* w, [[maybe_unused]] float* c) {
#ifdef MEANDER_OPENBLAS
  for (int l = 0; l < s.layers; ++l) {
    const int m = static_cast<int>(rows), n = static_cast<int>(s.width[l + 1]), k = static_cast<int>(s.width[l]);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, n, k, 1.0f, a, k, w + s.weight[l], n, 0.0f, c, n);
  }
#endif
}

}  // namespace

int main() {
  set_threads(1);
#ifdef MEANDER_OPENBLAS
  openblas_set_num_threads(1);
  std::printf("ours %s, OpenBLAS %s; GFLOP/s of dense multiply-adds x 2, one thread\n", isa_name(isa()),
              openblas_get_corename());
#endif
  const int64_t width[] = {87, 256, 256, 256, 6};
  MlpShape s;
  s.layers = 4;
  std::copy(std::begin(width), std::end(width), s.width);
  int64_t size = 0;
  double flop = 0;  // a row
  for (int l = 0; l < s.layers; ++l) {
    const int64_t out = width[l + 1];
    s.weight[l] = size, size += width[l] * out;
    s.bias[l] = size, size += out;
    s.scale[l] = size, size += out;
    s.shift[l] = size, size += out;
    flop += 2.0 * static_cast<double>(width[l] * out);
  }
  const std::vector<float> params = normals(size, 1.0f / 16);
  const int64_t own_cols = 6, group = 16;  // of the 87 inputs

  std::printf("%7s %9s %9s %9s %9s %9s %9s %9s %9s\n", "rows", "us", "forward", "+ tape", "shared", "tangent",
              "back dW", "back dx", "sgemm");
  for (int64_t rows : {1, 2, 4, 10, 32, 64, 256, 4096, 12288}) {
    const std::vector<float> x = normals((rows + 16) * 87), dx = x, cotangent = normals(rows * 6);
    std::vector<float> y(static_cast<size_t>(rows * 256)), dy(static_cast<size_t>(rows * 6)),
        gradient(static_cast<size_t>(size));
    std::vector<float> tape(static_cast<size_t>(mlp_tape_size(s, rows))),
        workspace(static_cast<size_t>(mlp_workspace(s, rows)));
    std::vector<float> gx(static_cast<size_t>(rows * 87));
    const std::vector<float> activations = normals(rows * 256);
    const float* const p = params.data();
    float* const w = workspace.data();
    const double forward = time_of([&] { mlp_forward(s, p, rows, x.data(), y.data(), nullptr, w); });
    const double taped = time_of([&] { mlp_forward(s, p, rows, x.data(), y.data(), tape.data(), w); });
    const double shared = time_of([&] {
      mlp_forward_shared(s, p, rows, own_cols, x.data(), group, x.data() + rows * own_cols, true, y.data(), w);
    });
    const double tangent = time_of([&] {
      mlp_value_and_tangent(s, p, rows, x.data(), rows, dx.data(), y.data(), dy.data(), tape.data(), w);
    });
    const double weights = time_of([&] {
      mlp_backward(s, p, rows, x.data(), tape.data(), cotangent.data(), nullptr, gradient.data(), w);
    });
    const double inputs = time_of([&] {
      mlp_backward(s, p, rows, x.data(), tape.data(), cotangent.data(), gx.data(), nullptr, w);
    });
    const double sgemm = time_of([&] { products(s, rows, activations.data(), p, y.data()); });
    const double f = flop * 1e-9 * static_cast<double>(rows);
    std::printf("%7ld %9.1f %9.0f %9.0f %9.0f %9.0f %9.0f %9.0f %9.0f\n", static_cast<long>(rows), forward * 1e6,
                f / forward, f / taped, f / shared, 2 * f / tangent, (2 - 2.0 * 87 * 256 / flop) * f / weights,
                f / inputs, f / sgemm);
  }
}
