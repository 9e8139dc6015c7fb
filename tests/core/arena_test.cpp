// Protects the arena: alignment, release in order, growth without moving, and poisoning under the address sanitizer.
#include <meander/core/arena.h>

#include <doctest/doctest.h>

#include <meander/kernels/error.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

using namespace meander;

TEST_CASE("blocks are aligned, apart, and given back by scope") {
  Arena& arena = Arena::current();
  const size_t before = arena.top();
  {
    ArenaScope scope;
    char* a = arena_array<char>(3);
    char* b = arena_array<char>(1);
    CHECK(reinterpret_cast<uintptr_t>(a) % 64 == 0);
    CHECK(reinterpret_cast<uintptr_t>(b) % 64 == 0);
    CHECK(b - a >= 3);
    const Tensor big = zeros(1000, 1000);
    CHECK(big.f32()[999999] == 0);
  }
  CHECK(arena.top() == before);
  CHECK(arena.high_water() >= before + 4'000'000);
}

TEST_CASE("released memory and gaps are poisoned under the address sanitizer") {
#if defined(__SANITIZE_ADDRESS__)
  char* p;
  {
    ArenaScope scope;
    p = arena_array<char>(100);
    CHECK(!__asan_address_is_poisoned(p + 99));
    CHECK(__asan_address_is_poisoned(p + 130));
  }
  CHECK(__asan_address_is_poisoned(p));
#endif
}

TEST_CASE("more than the reserve is refused with the numbers") {
  Arena small(size_t{1} << 26);
  CHECK_THROWS_AS(small.allocate(size_t{1} << 27), Failure);
  CHECK(small.allocate(1 << 20) != nullptr);
}
