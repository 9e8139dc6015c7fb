#include <meander/kernels/dense.h>

#include <algorithm>
#include <random>

#include "on_device.h"

// Matrix products on a device.
namespace meander {
namespace {

using Floats = std::vector<float>;

Floats normals(int64_t n, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  Floats x(static_cast<size_t>(n));
  for (float& v : x) v = normal(generator);
  return x;
}

// The largest error in units of the sum's natural size, the root of k.
double error(const Floats& got, const Floats& want, int64_t k) {
  return largest_error(got, want, std::sqrt(static_cast<double>(k) + 1));
}

struct Sizes {
  int64_t m, n, k;
};

// What the split into three tf32 products leaves out of each term is 3e-7 of it; both sums round some k times, 3e-8
// times the root of k of the natural size; and five times that at the worst of thousands of sums.
double allowed(int64_t k) { return 5 * (3e-7 + 3e-8 * std::sqrt(static_cast<double>(k))); }

}  // namespace

// Protects the three products against the CPU's: tiles that are full, cut off and alone, one row and one column, rows
// that are not aligned to 16 bytes, k of one slice, of several and of none that is full, with a bias, added to what is
// there, and k in chunks.
TEST_CASE("products") {
  on_each_device([](OnDevice& d) {
    for (const Sizes& size : {Sizes{1, 1, 1}, {1, 21, 376}, {3, 64, 3}, {70, 17, 33}, {64, 64, 64}, {5, 72, 100},
                              {66, 130, 8}, {17, 5, 700}}) {
      const int64_t m = size.m, n = size.n, k = size.k;
      CAPTURE(m);
      CAPTURE(n);
      CAPTURE(k);
      const Floats a = normals(m * k, 1), b = normals(k * n, 2), bias = normals(n, 3), before = normals(m * n, 4);
      const auto on_a = d.up(a), on_b = d.up(b), on_bias = d.up(bias);
      const auto workspace = d.room(static_cast<size_t>(d.k.product_workspace(m, n, k)));
      Floats scratch(static_cast<size_t>(kernels::product_workspace(m, n, k))), want(static_cast<size_t>(m * n));
      for (const bool with_bias : {false, true}) {
        const auto y = d.room(static_cast<size_t>(m * n));
        d.k.dense(m, k, n, on_a, on_b, with_bias ? on_bias.data : nullptr, y, workspace);
        kernels::dense(m, k, n, a.data(), b.data(), with_bias ? bias.data() : nullptr, want.data(), scratch.data());
        CHECK(error(d.down(y), want, k) < allowed(k));
      }
      for (const bool accumulate : {false, true}) {
        const auto nt = accumulate ? d.up(before) : d.room(static_cast<size_t>(m * n));
        d.k.product_nt(m, n, k, on_a, on_b, nt, accumulate, workspace);
        want = before;
        kernels::product_nt(m, n, k, a.data(), b.data(), want.data(), accumulate, scratch.data());
        CHECK(error(d.down(nt), want, k) < allowed(k));
        const auto tn = accumulate ? d.up(before) : d.room(static_cast<size_t>(m * n));
        d.k.product_tn(m, n, k, on_a, on_b, tn, accumulate, workspace);
        want = before;
        kernels::product_tn(m, n, k, a.data(), b.data(), want.data(), accumulate, scratch.data());
        CHECK(error(d.down(tn), want, k) < allowed(k));
      }
    }
  });
}

// Protects the accuracy of the split in three tf32 products, on factors of very different sizes: no worse than 4 times
// the error of float32's own sums.
TEST_CASE("a product is as accurate as float32's") {
  on_each_device([](OnDevice& d) {
    constexpr int64_t m = 16, n = 16, k = 256;
    Floats a = normals(m * k, 1), b = normals(k * n, 2);
    for (size_t i = 0; i < a.size(); ++i) a[i] *= std::exp2(static_cast<float>(i % 37) - 18);
    for (size_t i = 0; i < b.size(); ++i) b[i] *= std::exp2(static_cast<float>(i % 29) - 14);
    const auto y = d.room(m * n), workspace = d.room(static_cast<size_t>(d.k.product_workspace(m, n, k)));
    d.k.dense(m, k, n, d.up(a), d.up(b), nullptr, y, workspace);
    const Floats got = d.down(y);
    double device = 0, chain = 0;
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        double exact = 0, size = 0;
        float sum = 0;
        for (int64_t l = 0; l < k; ++l) {
          const double product = double{a[i * k + l]} * b[l * n + j];
          exact += product, size += std::abs(product);
          sum = std::fma(a[i * k + l], b[l * n + j], sum);
        }
        device = std::max(device, std::abs(got[i * n + j] - exact) / size);
        chain = std::max(chain, std::abs(sum - exact) / size);
      }
    MESSAGE(std::string(d.k.name), ": ", device, ", a chain of fma: ", chain);
    CHECK(device < 4 * chain);
  });
}

// Protects what is not finite: it must not be lost in the split.
TEST_CASE("a product keeps NaN") {
  on_each_device([](OnDevice& d) {
    Floats a = normals(4 * 8, 1), b = normals(8 * 8, 2);
    a[8] = NAN;
    a[17] = INFINITY;
    const auto y = d.room(4 * 8);
    d.k.dense(4, 8, 8, d.up(a), d.up(b), nullptr, y, d.room(0));
    const Floats got = d.down(y);
    for (size_t i = 0; i < got.size(); ++i) CHECK(std::isfinite(got[i]) == (i / 8 == 0 || i / 8 == 3));
  });
}

}  // namespace meander
