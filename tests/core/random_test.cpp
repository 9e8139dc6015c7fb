#include <meander/core/random.h>

#include <cmath>
#include <doctest/doctest.h>

using namespace meander;

// Protects the scalar draws that resets and initialisation make: the words of the Philox stream in order, uniforms of
// 53 bits below 1, normals with the right moments, and streams that differ in every part of their name.
TEST_CASE("a stream draws the words of its Philox blocks in order") {
  Stream stream(5, Purpose::test, 7);
  for (uint32_t block = 0; block < 3; ++block) {
    uint32_t words[4];
    kernels::philox_block({5, static_cast<uint32_t>(Purpose::test), 7}, block, words);
    for (uint32_t word : words) CHECK(stream.bits() == word);
  }
  CHECK(Stream(5, Purpose::test, 7).bits() != Stream(6, Purpose::test, 7).bits());
  CHECK(Stream(5, Purpose::test, 7).bits() != Stream(5, Purpose::batch, 7).bits());
  CHECK(Stream(5, Purpose::test, 7).bits() != Stream(5, Purpose::test, 8).bits());
}

TEST_CASE("uniform and normal draws of a stream") {
  Stream stream(1, Purpose::test, 0);
  const int n = 100000;
  double mean = 0, square = 0, low = 1, high = 0;
  for (int i = 0; i < n; ++i) {
    const double u = stream.uniform();
    low = std::min(low, u), high = std::max(high, u);
    mean += u / n;
  }
  CHECK(low >= 0);
  CHECK(high < 1);
  CHECK(std::fabs(mean - 0.5) < 5 / std::sqrt(12.0 * n));  // five standard deviations
  mean = 0;
  for (int i = 0; i < n; ++i) {
    const double x = stream.normal();
    mean += x / n, square += x * x / n;
  }
  CHECK(std::fabs(mean) < 5 / std::sqrt(n));
  CHECK(std::fabs(square - 1) < 5 * std::sqrt(2.0 / n));
  for (int i = 0; i < 100; ++i) {
    const double u = stream.uniform(-3, 5);
    CHECK(u >= -3);
    CHECK(u < 5);
  }
}
