#include <meander/kernels/optimiser.h>

#include <array>

#include "helpers.h"

using namespace meander::kernels;

// Protects Adam's formula, both bias corrections included, over some steps against double.
TEST_CASE("Adam") {
  const int64_t n = 20001;
  const AdamConstants constants{.learning_rate = 1e-2f};
  const Floats got = same_on_every_path([&] {
    Floats p = normals(n, 1), m(n), v(n);
    for (int64_t step = 1; step <= 5; ++step) {
      const Floats g = normals(n, 10 + static_cast<uint64_t>(step));
      adam(std::array{AdamArguments{n, g.data(), p.data(), m.data(), v.data(), nullptr}}, constants, 0, step, nullptr,
           nullptr);
    }
    return p;
  });
  Doubles p = in_double(normals(n, 1)), m(n), v(n);
  const double b1 = constants.beta1, b2 = constants.beta2;
  for (int step = 1; step <= 5; ++step) {
    const Floats g = normals(n, 10 + static_cast<uint64_t>(step));
    for (size_t i = 0; i < p.size(); ++i) {
      m[i] = b1 * m[i] + (1 - b1) * g[i];
      v[i] = b2 * v[i] + (1 - b2) * g[i] * g[i];
      p[i] -= 1e-2 * (m[i] / (1 - std::pow(b1, step))) / (std::sqrt(v[i] / (1 - std::pow(b2, step))) + 1e-8);
    }
  }
  CHECK(largest_error(got, p) < 1e-6);
}

// Protects against the slow subnormals: a mean that has decayed that far is 0 from then on.
TEST_CASE("Adam's mean leaves the normal range") {
  const int64_t n = 100;
  const Floats got = same_on_every_path([&] {
    Floats p(n, 1.0f), m(n, 1.2e-38f), v(n, 1e-10f);
    m[1] = -1.2e-38f, m[2] = 2e-38f;
    adam(std::array{AdamArguments{n, Floats(n).data(), p.data(), m.data(), v.data(), nullptr}}, {}, 0, 1000, nullptr,
         nullptr);
    return m;
  });
  CHECK(got[0] == 0);
  CHECK(got[1] == 0);
  CHECK(got[2] > 0);
}

TEST_CASE("exponential average") {
  const int64_t n = 20001;
  const Floats source = normals(n, 1), before = normals(n, 2);
  const Floats got = same_on_every_path([&] {
    Floats target = before;
    exponential_average(n, 0.005f, source.data(), target.data(), nullptr);
    return target;
  });
  Doubles want(n);
  for (size_t i = 0; i < want.size(); ++i) want[i] = 0.995 * before[i] + 0.005 * source[i];
  CHECK(largest_error(got, want) < 2e-7);
}
