#include "against_cpu.h"

// kernels/cuda/random.cu against the CPU: integers and uniforms are equal by contract, normals and truncated normals
// because their formulas are the same and every operation in them is rounded exactly.
namespace meander {
namespace {

constexpr kernels::RandomKey key{.seed = 0x123456789abcdef0u, .purpose = 77, .step = (uint64_t{5} << 32) + 9};
constexpr int64_t lengths[] = {1, 2, 3, 4, 5, 31, 1027};

// On the device with the step in the key and with the step in device memory, and at an address that fits no vector.
template <class T, class F>
void same_stream(OnDevice& d, const std::vector<T>& want, F draw) {
  kernels::RandomKey elsewhere = key;
  elsewhere.step = 3;
  const auto step = d.up(std::vector<uint64_t>{key.step});
  const auto a = d.room<T>(want.size()), b = d.room<T>(want.size()), c = d.room<T>(want.size() + 1);
  draw(key, nullptr, a.data);
  draw(elsewhere, step.data, b.data);
  draw(key, nullptr, c.data + 1);
  CHECK(d.down(a) == want);
  CHECK(d.down(b) == want);
  const auto shifted = d.down(c);
  CHECK(std::memcmp(shifted.data() + 1, want.data(), want.size() * sizeof(T)) == 0);
}

}  // namespace

// Protects one stream for all devices: word i of a key, whatever the length; the step in both places.
TEST_CASE("the streams of Philox are the CPU's") {
  on_each_device([](OnDevice& d) {
    for (const int64_t n : lengths) {
      CAPTURE(n);
      Floats numbers(static_cast<size_t>(n));
      kernels::philox_uniform(key, nullptr, n, numbers.data());
      same_stream(d, numbers, [&](const auto& k, const uint64_t* step, float* y) {
        d.k.philox_uniform(k, step, n, y);
      });
      kernels::philox_normal(key, nullptr, n, numbers.data());
      same_stream(d, numbers, [&](const auto& k, const uint64_t* step, float* y) { d.k.philox_normal(k, step, n, y); });
    }
  });
}

// Protects numbers that are drawn together: each stream is as if drawn alone, whatever lengths stand beside it; more than
// one launch takes.
TEST_CASE("streams drawn together are those drawn alone") {
  on_each_device([](OnDevice& d) {
    std::vector<kernels::DrawArguments> draws;
    std::vector<OnDevice::Array<float>> results;
    for (int64_t i = 0; i < 20; ++i) {
      kernels::RandomKey other = key;
      other.purpose += static_cast<uint32_t>(i);
      results.push_back(d.room(static_cast<size_t>(1 + 37 * i)));
      draws.push_back({other, i % 3 != 0, 1 + 37 * i, results.back()});
    }
    d.k.philox_draws(draws, d.up(std::vector<uint64_t>{77}));
    for (size_t i = 0; i < draws.size(); ++i) {
      Floats want(static_cast<size_t>(draws[i].n));
      draws[i].key.step = 77;
      (draws[i].normal ? kernels::philox_normal : kernels::philox_uniform)(draws[i].key, nullptr, draws[i].n,
                                                                           want.data());
      CHECK(d.down(results[i]) == want);
    }
  });
}

// Protects a captured update: replayed with another step in device memory it draws other numbers, those of that step.
TEST_CASE("a graph draws the numbers of the step that memory holds") {
  on_each_device([](OnDevice& d) {
    const auto step = d.up(std::vector<uint64_t>{1});
    const auto numbers = d.room(10);
    d.k.begin_capture(false);
    d.k.philox_normal(key, step, 10, numbers);
    void* graph = d.k.end_capture();
    for (const uint64_t at : {2, 3}) {
      d.k.copy(step, &at, sizeof at);
      d.k.launch_graph(graph);
      Floats want(10);
      kernels::RandomKey then = key;
      then.step = at;
      kernels::philox_normal(then, nullptr, 10, want.data());
      CHECK(d.down(numbers) == want);
    }
    d.k.destroy_graph(graph);
  });
}

// Protects both tails, the centre, bounds at infinity, and the ends f = 0 and f = 1.
TEST_CASE("truncated normals and their slope have the CPU's bits") {
  on_each_device([](OnDevice& d) {
    Floats lower, upper, f;
    for (const float a : {-INFINITY, -400.0f, -30.0f, -5.0f, -1.0f, -0.01f, 0.0f, 0.3f, 2.0f, 12.0f})
      for (const float width : {1e-3f, 0.5f, 3.0f, 60.0f, INFINITY})
        for (const float share : {0.0f, 1e-7f, 0.1f, 0.5f, 0.77f, 1.0f - 0x1p-24f, 1.0f}) {
          lower.push_back(a);
          upper.push_back(a == -INFINITY ? (width == INFINITY ? INFINITY : width - 2) : a + width);
          f.push_back(share);
        }
    const int64_t n = std::ssize(f);
    Floats y(f.size()), ratio(f.size());
    kernels::truncated_normal(n, lower.data(), upper.data(), f.data(), y.data());
    kernels::normal_mass_ratio(n, lower.data(), upper.data(), y.data(), ratio.data());
    const auto low = d.up(lower), high = d.up(upper), at = d.room(f.size()), slope = d.room(f.size());
    d.k.truncated_normal(n, low, high, d.up(f), at);
    d.k.normal_mass_ratio(n, low, high, at, slope);
    CHECK(same_numbers(d.down(at), y));
    CHECK(same_numbers(d.down(slope), ratio));
  });
}

}  // namespace meander
