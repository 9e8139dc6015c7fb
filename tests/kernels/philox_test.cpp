#include <meander/kernels/philox.h>

#include "helpers.h"

using namespace meander::kernels;

// Protects the generator itself: the published known answers of Philox 4x32-10.
TEST_CASE("Philox known answers") {
  uint32_t out[4];
  philox_block({}, 0, out);
  CHECK(out[0] == 0x6627e8d5u);
  CHECK(out[1] == 0xe169c58du);
  CHECK(out[2] == 0xbc57ac4cu);
  CHECK(out[3] == 0x9b00dbd8u);
  philox_block({~uint64_t{0}, ~uint32_t{0}, ~uint64_t{0}}, ~uint32_t{0}, out);
  CHECK(out[0] == 0x408f276du);
  CHECK(out[1] == 0x41c83b0eu);
  CHECK(out[2] == 0xa20bc7c6u);
  CHECK(out[3] == 0x6d5451fdu);
}

// Protects counter-based use: element i depends on the key and i alone, not on the length of the array or the threads.
TEST_CASE("a shorter array is the beginning of a longer one") {
  const RandomKey key{.seed = 0x123456789abcdefull, .purpose = 7, .step = 0x500000003ull};
  const int64_t most = 20003;
  std::vector<uint32_t> all_bits(most), bits(most);
  Floats all_normals(most), all_uniforms(most);
  philox_bits(key, most, all_bits.data());
  philox_normal(key, nullptr, most, all_normals.data());
  philox_uniform(key, nullptr, most, all_uniforms.data());
  for (int64_t i = 0; i < most; i += 997) {
    uint32_t block[4];
    philox_block(key, static_cast<uint32_t>(i / 4), block);
    CHECK(all_bits[static_cast<size_t>(i)] == block[i % 4]);
  }
  for (int64_t n : {1, 2, 3, 5, 17, 1023, 1024, 1025, 5000}) {
    Floats x(static_cast<size_t>(n + 1), -77.0f);
    philox_normal(key, nullptr, n, x.data());
    CHECK(std::equal(x.begin(), x.end() - 1, all_normals.begin()));
    CHECK(x.back() == -77.0f);
    philox_uniform(key, nullptr, n, x.data());
    CHECK(std::equal(x.begin(), x.end() - 1, all_uniforms.begin()));
    philox_bits(key, n, bits.data());
    CHECK(std::equal(bits.begin(), bits.begin() + n, all_bits.begin()));
  }
  same_on_every_path([&] {
    Floats x(most);
    philox_normal(key, nullptr, most, x.data());
    return x;
  });
}

// Protects the transforms: range and formula of uniforms, moments of normals, bounds and evenness of indices.
TEST_CASE("uniforms, normals and indices") {
  const RandomKey key{.seed = 3, .purpose = 1, .step = 9};
  const int64_t n = 200000;
  std::vector<uint32_t> bits(n), index(n);
  philox_bits(key, n, bits.data());
  Floats u(n), x(n);
  philox_uniform(key, nullptr, n, u.data());
  philox_normal(key, nullptr, n, x.data());
  philox_index(key, n, 10, index.data());
  double mean = 0, square = 0, fourth = 0, product = 0;
  int64_t count[10] = {};
  for (size_t i = 0; i < u.size(); ++i) {
    CHECK_UNARY(u[i] == static_cast<float>(((bits[i] >> 9) + 0.5) / 8388608.0));
    mean += x[i] / n;
    square += x[i] * double{x[i]} / n;
    fourth += std::pow(double{x[i]}, 4) / n;
    if (i % 2) product += 2.0 * x[i] * x[i - 1] / n;
    REQUIRE(index[i] < 10);
    ++count[index[i]];
  }
  // Five standard deviations of each estimate.
  CHECK(std::fabs(mean) < 5 / std::sqrt(n));
  CHECK(std::fabs(square - 1) < 5 * std::sqrt(2.0 / n));
  CHECK(std::fabs(fourth - 3) < 5 * std::sqrt(96.0 / n));
  CHECK(std::fabs(product) < 5 * std::sqrt(2.0 / n));
  for (int64_t c : count) CHECK(std::fabs(c - n / 10.0) < 5 * std::sqrt(n * 0.09));
  for (int64_t i = 0; i < 1000; i += 2) {
    const double radius = std::sqrt(-2 * std::log(double{u[static_cast<size_t>(i)]}));
    const double angle = 2 * std::acos(-1.0) * u[static_cast<size_t>(i + 1)];
    CHECK(x[static_cast<size_t>(i)] == doctest::Approx(radius * std::cos(angle)).epsilon(1e-5));
    CHECK(x[static_cast<size_t>(i + 1)] == doctest::Approx(radius * std::sin(angle)).epsilon(1e-5));
  }
}
