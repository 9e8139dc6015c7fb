#include <meander/kernels/dependencies.h>

#include <doctest/doctest.h>

#include <numeric>
#include <utility>

#include <meander/kernels/philox.h>

using namespace meander::kernels;

namespace {

const DeviceKernels& cpu() { return *device_kernels(Device::cpu); }

// What a call reads and writes of a small memory; its result is a mixture of what it reads, so that any other order shows.
struct Step {
  std::vector<size_t> reads, writes;
  uint32_t number;
  void run(std::vector<uint32_t>& memory) const {
    uint32_t sum = number;
    for (const size_t i : reads) sum = (sum ^ memory[i]) * 2654435761u;
    for (const size_t i : writes) memory[i] = sum += 0x9e3779b9u;
  }
};

}  // namespace

// Protects what a recorded graph relies on: random sequences of calls on few words of memory, each done in several random
// orders that keep to the dependencies, end with the memory of one call after the other.
TEST_CASE("any order that keeps to the dependencies gives the same memory") {
  constexpr size_t words = 6, steps = 30;
  for (uint32_t trial = 0; trial < 40; ++trial) {
    std::vector<uint32_t> draws(20 * steps), memory(words), other;
    philox_bits({.seed = trial}, std::ssize(draws), draws.data());
    size_t next = 0;
    const auto draw = [&](size_t below) { return draws[next++ % draws.size()] % below; };
    std::vector<Step> all;
    std::vector<std::vector<size_t>> after;
    Dependencies dependencies;
    for (uint32_t number = 0; number < steps; ++number) {
      Step s{{}, {}, number};
      for (size_t i = draw(3); i > 0; --i) s.reads.push_back(draw(words));
      for (size_t i = draw(2); i > 0; --i) s.writes.push_back(draw(words));
      Accesses a(cpu());
      for (const size_t i : s.reads) a(1, &std::as_const(memory[i]));
      for (const size_t i : s.writes) a(1, &memory[i]);
      if (draw(20) == 0) a.everything();
      after.push_back(dependencies.add(a));
      all.push_back(s);
    }
    for (int repeat = 0; repeat < 5; ++repeat) {
      std::iota(memory.begin(), memory.end(), 100u);
      other = memory;
      for (const Step& s : all) s.run(memory);
      std::vector<bool> done(steps);
      for (size_t count = 0; count < steps; ++count) {
        std::vector<size_t> ready;
        for (size_t i = 0; i < steps; ++i) {
          bool can = !done[i];
          for (const size_t before : after[i]) can = can && done[before];
          if (can) ready.push_back(i);
        }
        REQUIRE(!ready.empty());
        const size_t i = ready[draw(ready.size())];
        all[i].run(other);
        done[i] = true;
      }
      CHECK(memory == other);
    }
  }
}

// Protects the concurrency: calls that share nothing, or only read the same, do not wait; nobody waits for a call that
// another one waits for anyway; ranges that only touch do not overlap.
TEST_CASE("a call waits for no more than it must") {
  std::vector<float> x(8);
  Dependencies dependencies;
  using Numbers = std::vector<size_t>;
  const auto call = [&](int64_t from, int64_t to, int64_t n) {
    Accesses a(cpu());
    a(n, &std::as_const(x[static_cast<size_t>(from)]), &x[static_cast<size_t>(to)]);
    return dependencies.add(a);
  };
  CHECK(call(0, 2, 2).empty());                  // 0
  CHECK(call(0, 4, 2).empty());                  // 1: reads the same
  CHECK(call(2, 6, 2) == Numbers{0});            // 2: what 0 wrote
  CHECK(call(6, 6, 2) == Numbers{2});            // 3
  CHECK(call(6, 2, 1) == Numbers{3});            // 4: 3, and 2 and 0 with it
  CHECK(call(4, 0, 2) == Numbers{1, 0});         // 5: what 1 wrote, and where 0 and 1 read
  Accesses all(cpu());
  all.everything();
  CHECK(dependencies.add(all) == Numbers{5, 4});
}

// Protects what a recorded call waits by and what the bench counts: from each kind of statement, the ranges with what
// is moved.
TEST_CASE("a call says what it reads, writes, changes and uses as scratch") {
  const DeviceKernels& device = cpu();
  float x[12] = {}, y[12] = {}, scratch[100];
  const float* const from = x;
  struct Range {
    const float* begin;
    int64_t n;
    size_t bytes;
    bool written;
  };
  const auto check = [&](auto touched, std::vector<Range> want, auto... arguments) {
    Accesses a(device);
    touched(a, arguments...);
    REQUIRE(std::distance(a.begin(), a.end()) == std::ssize(want));
    for (size_t i = 0; i < want.size(); ++i) {
      const Access& got = a.begin()[static_cast<std::ptrdiff_t>(i)];
      CAPTURE(i);
      CHECK(got.begin == reinterpret_cast<const std::byte*>(want[i].begin));
      CHECK(got.end == reinterpret_cast<const std::byte*>(want[i].begin + want[i].n));
      CHECK(got.bytes == want[i].bytes);
      CHECK(got.written == want[i].written);
    }
  };
  check(Touched::affine, {{x, 5, 20, false}, {y, 5, 20, true}}, int64_t{5}, 1.0f, 2.0f, from, y);
  check(Touched::add_to, {{x, 5, 20, false}, {y, 5, 40, true}}, int64_t{5}, from, y);
  check(Touched::layer_norm, {{x, 6, 24, false}, {y, 6, 24, true}, {x, 3, 12, false}, {x, 3, 12, false}}, int64_t{2},
        int64_t{3}, 0.0f, from, from, from, y, static_cast<float*>(nullptr), static_cast<float*>(nullptr));
  check(Touched::copy_matrix, {{x, 2 + 4, 24, false}, {y, 2 + 3 * 3, 44, true}}, int64_t{4}, int64_t{2}, from,
        int64_t{4}, int64_t{2}, y, int64_t{3});
  const int64_t room = device.product_workspace(2, 3, 2);
  check(Touched::product_nt, {{x, 4, 16, false}, {x, 6, 24, false}, {y, 6, 48, true}, {scratch, room, 0, true}},
        int64_t{2}, int64_t{3}, int64_t{2}, from, from, y, true, scratch);
}

// Protects the sizes at the example of a network, whose parameters lie scattered: with embeddings before and after them
// in the same buffer, the gradients of the parts do not wait for each other.
TEST_CASE("a network touches its own parameters only") {
  MlpShape s;
  s.layers = 2, s.width[0] = 3, s.width[1] = 4, s.width[2] = 2;
  s.weight[0] = 10, s.bias[0] = 22, s.scale[0] = 26, s.shift[0] = 30, s.weight[1] = 34, s.bias[1] = 42;
  CHECK(parameters_of(s).first == 10);
  CHECK(parameters_of(s).last == 44);
  EmbeddingShape e{.frequencies = 2, .hidden = 1, .width = 1, .frequency = 0, .weight0 = 2, .bias0 = 6, .weight1 = 7, .bias1 = 8};
  CHECK(parameters_of(e).first == 0);
  CHECK(parameters_of(e).last == 9);
}
