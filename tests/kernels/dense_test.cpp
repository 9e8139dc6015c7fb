#include <meander/kernels/dense.h>

#include "helpers.h"

using namespace meander::kernels;

// Protects the three products at every kind of edge (few rows, cut panels, cut tiles, deeper than the scratch) against
// the readable form in double, and their equality over instruction sets and threads.
TEST_CASE("products against the reference") {
  int64_t case_number = 0;
  for (int64_t n : {1, 3, 16, 17, 31, 64, 87, 101, 256, 300})
    for (int64_t k : {0, 1, 3, 17, 87, 457, 1100})
      for (int64_t m = 1 + case_number++ % 3; m <= 40; m += 1 + m / (MEANDER_FEW_CASES ? 1 : 3)) {
        if (MEANDER_FEW_CASES && k > 100 && n % 3 != 0) continue;
        CAPTURE(m);
        CAPTURE(n);
        CAPTURE(k);
        const Floats a = normals(m * k, 1), b = normals(k * n, 2), bias = normals(n, 3), c = normals(m * n, 4);
        Doubles want_dense(m * n), want_nt = in_double(c), want_tn(m * n);
        dense_reference<double>(m, k, n, in_double(a).data(), in_double(b).data(), in_double(bias).data(),
                                want_dense.data());
        product_nt_reference<double>(m, n, k, in_double(a).data(), in_double(b).data(), want_nt.data(), true);
        product_tn_reference<double>(m, n, k, in_double(a).data(), in_double(b).data(), want_tn.data(), false);
        Doubles want = want_dense;
        want.insert(want.end(), want_nt.begin(), want_nt.end());
        want.insert(want.end(), want_tn.begin(), want_tn.end());
        const Floats got = same_on_every_path([&] {
          Floats y(3 * m * n, NAN), workspace(product_workspace(m, n, k), NAN);
          dense(m, k, n, a.data(), b.data(), bias.data(), y.data(), workspace.data());
          std::copy(c.begin(), c.end(), y.begin() + m * n);
          product_nt(m, n, k, a.data(), b.data(), y.data() + m * n, true, workspace.data());
          product_tn(m, n, k, a.data(), b.data(), y.data() + 2 * m * n, false, workspace.data());
          return y;
        });
        // k roundings, each half a last place of a partial sum of size sqrt k, adding up as a random walk; and a
        // margin.
        CHECK(largest_error(got, want) < 2e-6 + 1.2e-7 * static_cast<double>(k));
      }
}

// Protects the promise in dense.h: each output is the chain of fma in k order, so every path has exactly these bits;
// a single column, computed by its transpose, too.
TEST_CASE("an output is one chain of fma") {
  const int64_t m = 23;
  for (int64_t n : {1, 75})
    for (int64_t k : {300, 600}) {
      CAPTURE(n);
      CAPTURE(k);
      const Floats a = normals(m * k, 1), b = normals(k * n, 2), bias = normals(n, 3), before = normals(m * n, 4);
      Floats want(m * n), want_tn(m * n), y(m * n), y_tn = before, workspace(product_workspace(m, n, k));
      for (int64_t i = 0; i < m; ++i)
        for (int64_t j = 0; j < n; ++j) {
          float s = bias[j], t = before[i * n + j];
          for (int64_t l = 0; l < k; ++l) {
            s = std::fma(a[i * k + l], b[l * n + j], s);
            t = std::fma(a[l * m + i], b[l * n + j], t);
          }
          want[i * n + j] = s, want_tn[i * n + j] = t;
        }
      dense(m, k, n, a.data(), b.data(), bias.data(), y.data(), workspace.data());
      product_tn(m, n, k, a.data(), b.data(), y_tn.data(), true, workspace.data());
      CHECK(same_bits(y, want));
      CHECK(same_bits(y_tn, want_tn));
    }
}

// Protects many rows on several threads, a null bias and outputs wider than the row of zeros it starts from.
TEST_CASE("many rows, wide outputs, no bias") {
  const int64_t m = 700, n = 1500, k = 20;
  const Floats a = normals(m * k, 1), b = normals(k * n, 2);
  Doubles want(m * n);
  dense_reference<double>(m, k, n, in_double(a).data(), in_double(b).data(), nullptr, want.data());
  const Floats got = same_on_every_path([&] {
    Floats y(m * n), workspace(product_workspace(m, n, k));
    dense(m, k, n, a.data(), b.data(), nullptr, y.data(), workspace.data());
    return y;
  });
  CHECK(largest_error(got, want) < 2e-6);
}
