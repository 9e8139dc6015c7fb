// Protects the arena: alignment, release in order, growth without moving, the same addresses again, and poisoning under
// the address sanitizer.
#include <meander/core/arena.h>

#include <doctest/doctest.h>

#include <cstring>
#include <vector>

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

TEST_CASE("it grows by chunks, keeps them, and gives the same addresses to the same calls") {
  Arena arena;
  const auto fill = [&] {
    std::vector<std::byte*> blocks;
    for (size_t size : {size_t{100}, size_t{900'000}, size_t{5'000'000}, size_t{64}, size_t{20'000'000}, size_t{1}}) {
      blocks.push_back(static_cast<std::byte*>(arena.allocate(size)));
      std::memset(blocks.back(), static_cast<int>(blocks.size()), size);
    }
    return blocks;
  };
  const auto first = fill();
  for (size_t i = 0; i < first.size(); ++i) CHECK(first[i][0] == static_cast<std::byte>(i + 1));  // none within another
  const size_t top = arena.top(), high = arena.high_water();
  arena.release(0);
  CHECK(fill() == first);
  CHECK(arena.top() == top);
  CHECK(arena.high_water() == high);

  // A mark within a chunk that is left behind: what is taken next comes from there again.
  arena.release(0);
  arena.allocate(100);
  const size_t mark = arena.top();
  std::byte* const second = static_cast<std::byte*>(arena.allocate(10));
  arena.allocate(30'000'000);
  arena.release(mark);
  CHECK(arena.allocate(10) == second);
}

TEST_CASE("what the system refuses is an error with the numbers, and the arena goes on") {
  Arena arena;
  CHECK_THROWS_AS(arena.allocate(size_t{1} << 60), Failure);
  CHECK(arena.top() == 0);
  CHECK(arena.allocate(1 << 20) != nullptr);
  const size_t top = arena.top();
  CHECK_THROWS_AS(arena.allocate(size_t{1} << 60), Failure);
  CHECK(arena.top() == top);
  CHECK(arena.allocate(100) != nullptr);
}
