// Protects the copies into and out of a buffer: tests that compare parameters see them by these.
#include <meander/nn/buffer.h>

#include <doctest/doctest.h>

using namespace meander;

TEST_CASE("what a buffer is set to is what is got from it, and a copy of it") {
  constexpr int64_t size = 19;  // not a whole line of memory
  std::vector<float> x(size);
  for (int64_t i = 0; i < size; ++i) x[static_cast<size_t>(i)] = static_cast<float>(i + 1);
  Buffer a(size), b(size);
  CHECK(a.numbers() == std::vector<float>(size, 0.0f));
  a.set(x.data());
  CHECK(a.numbers() == x);
  std::vector<float> got(size + 1, -1.0f);
  a.get(got.data());
  CHECK(std::vector<float>(got.begin(), got.end() - 1) == x);
  CHECK(got.back() == -1);
  b.copy_from(a);
  CHECK(b.numbers() == x);
}
